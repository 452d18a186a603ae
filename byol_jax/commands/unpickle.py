"""python -m byol_jax unpickle: read the arrays of a pickled checkpoint without running it."""

import argparse

from byol_jax import encoders
from byol_jax.commands import arguments

EXAMPLE = "unpickle --source=byol.pkl --out=byol.npz"


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `unpickle`."""
    parser.add_argument("--source", metavar="FILE", help="a pickle, such as BYOL's checkpoint")
    parser.add_argument("--out", metavar="FILE.npz", help="what to write")
    parser.require("source", "out")


def run(flags: argparse.Namespace) -> None:
    """Writes the arrays."""
    encoders.foreign.unpickle(flags.source, flags.out)
    print(f"wrote {flags.out}, the arrays; `import` can read it.")
