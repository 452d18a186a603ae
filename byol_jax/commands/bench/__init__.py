"""The command `bench`: measure speed and memory use on this machine."""

import argparse
import functools
import json

from byol_jax import errors
from byol_jax.commands import arguments
from byol_jax.commands.bench import (
    augment,
    input,
    losses,
    microbatches,
    nt_xent,
    peers,
    start,
    step,
)
from byol_jax.config import check
from byol_jax.system import paths

EXAMPLE = "bench step --config=configs/cifar10/simclr.py --config.batch_size=128"
BENCHES = {
    "augment": augment.measure,
    "input": input.measure,
    "losses": losses.measure,
    "microbatches": microbatches.measure,
    "nt_xent": nt_xent.measure,
    "start": start.measure,
    "step": step.measure,
}
WITHOUT_CONFIG = ("losses", "nt_xent")


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `bench`."""
    parser.add_argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help="what to measure: augment (the augmented views), input (reading and decoding images), "
        "losses (the contrastive losses), microbatches (the train step in microbatches and in one "
        "batch), nt_xent (SimCLR's loss at growing batch sizes, in tiles and as one matrix), start "
        "(the time from the command to the first step), or step (the whole train step)",
    )
    parser.add_config(
        "config file of the experiment; required except for losses and nt_xent", required=False
    )
    parser.add_argument(
        "--peer",
        action="append",
        type=arguments.choice(*peers.NAMES),
        metavar="|".join(peers.NAMES),
        help="only for step: also measure the same step in PyTorch, in eager mode or with "
        "torch.compile, in the loop of lightly, or in stable-pretraining's JAX backend, and print "
        "the ratio; can be given several times",
    )
    parser.add_argument(
        "--fit",
        action="store_true",
        help="only for step: halve the batch size until the step fits into the device's memory",
    )
    parser.add_argument(
        "--kernels",
        action="store_true",
        help="only for step: also print the ten kernels that take the most time",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the results to this file")


def run(flags: argparse.Namespace) -> None:
    """Measures what the flags select and prints the results."""
    name = flags.what[0] if len(flags.what) == 1 else None
    if name not in BENCHES:
        names = ", ".join(BENCHES)
        near = arguments.near(" ".join(flags.what), BENCHES)
        raise errors.UserError(f"bench needs exactly one of {names}{near}.")
    options = {"peer": flags.peer, "fit": flags.fit, "kernels": flags.kernels}
    options = {option: value for option, value in options.items() if value}
    if options and name != "step":
        option = next(iter(options))
        raise errors.UserError(f"--{option} is only available for the benchmark `step`.")
    measure = functools.partial(BENCHES[name], **options)
    if name not in WITHOUT_CONFIG:
        if flags.config is None:
            raise errors.UserError(f"bench {name} needs --config.")
        config = arguments.load_config(flags)
        check.check(config)
        measure = functools.partial(measure, config)
    results = measure()
    if flags.json:
        paths.write_whole(flags.json, json.dumps(results, indent=1) + "\n")
