"""python -m byol_jax bench: measure speed and memory on this machine."""

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
        help=f"one of {', '.join(BENCHES)}; losses needs no config",
    )
    parser.add_config("config file of the experiment", required=False)
    parser.add_argument(
        "--peer",
        type=arguments.choice(*step.PEERS),
        metavar="|".join(step.PEERS),
        help="step: measure torch too, in the same rounds",
    )


def run(flags: argparse.Namespace) -> None:
    """Measures, and prints."""
    what = flags.what[0] if len(flags.what) == 1 else None
    if what not in BENCHES:
        near = arguments.near(" ".join(flags.what), BENCHES)
        raise errors.UserError(f"bench takes one of {', '.join(BENCHES)}{near}.")
    if flags.peer and what != "step":
        raise errors.UserError("--peer is for bench step alone.")
    if what in WITHOUT_CONFIG:
        BENCHES[what]()
        return
    if flags.config is None:
        raise errors.UserError(f"bench {what} needs --config.")
    config = arguments.load_config(flags)
    check.check(config)
    options = {"peer": flags.peer} if flags.peer else {}
    BENCHES[what](config, **options)
