"""The command `bench`: measure speed and memory use on this machine."""

import argparse

from byol_jax import errors
from byol_jax.commands import arguments
from byol_jax.commands.bench import augment, input, losses, step
from byol_jax.config import check

EXAMPLE = "bench step --config=configs/cifar10/simclr.py --config.batch_size=128"
BENCHES = {
    "augment": augment.measure,
    "input": input.measure,
    "losses": losses.measure,
    "step": step.measure,
}
WITHOUT_CONFIG = ("losses",)


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `bench`."""
    parser.add_argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help="what to measure: augment (the augmented views), input (reading and decoding images), "
        "losses (the contrastive losses), or step (the whole train step)",
    )
    parser.add_config("config file of the experiment; required except for losses", required=False)
    parser.add_argument(
        "--peer",
        type=arguments.choice(*step.PEERS),
        metavar="|".join(step.PEERS),
        help="only for step: also measure the same step in PyTorch and print the ratio (needs the "
        "extra parity)",
    )


def run(flags: argparse.Namespace) -> None:
    """Measures what the flags select and prints the results."""
    name = flags.what[0] if len(flags.what) == 1 else None
    if name not in BENCHES:
        names = ", ".join(BENCHES)
        near = arguments.near(" ".join(flags.what), BENCHES)
        raise errors.UserError(f"bench needs exactly one of {names}{near}.")
    if flags.peer and name != "step":
        raise errors.UserError("--peer is only available for the benchmark `step`.")
    if name in WITHOUT_CONFIG:
        BENCHES[name]()
        return
    if flags.config is None:
        raise errors.UserError(f"bench {name} needs --config.")
    config = arguments.load_config(flags)
    check.check(config)
    if flags.peer:
        BENCHES[name](config, peer=flags.peer)
    else:
        BENCHES[name](config)
