"""The command `unpickle`: extract the arrays of a pickled checkpoint without executing it."""

import argparse

from byol_jax import encoders
from byol_jax.commands import arguments

EXAMPLE = "unpickle --source=byol.pkl --out=byol.npz"


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `unpickle`."""
    parser.add_argument(
        "--source",
        metavar="FILE",
        help="pickle file, such as BYOL's checkpoints, or a file that torch.save wrote; it is "
        "never executed",
    )
    parser.add_argument(
        "--out", metavar="FILE.npz", help="file to write, which the command import can read"
    )
    parser.require("source", "out")


def run(flags: argparse.Namespace) -> None:
    """Extracts the arrays and writes them to a file."""
    encoders.foreign.unpickle(flags.source, flags.out)
    print(
        f"wrote {flags.out}; run `import --weights={flags.out}` to convert it into an encoder file."
    )
