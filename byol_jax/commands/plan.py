"""python -m byol_jax plan: compile the train step for a TPU that need not be here."""

import argparse

from ml_collections import ConfigDict

from byol_jax import plan
from byol_jax.builders import lowering
from byol_jax.commands import arguments
from byol_jax.config import check
from byol_jax.system import devices

EXAMPLE = "plan --config=configs/imagenet/byol.py --topology=v5e:4x4"


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `plan`."""
    parser.add_config("config file of the experiment")
    parser.add_argument(
        "--topology", metavar="CHIP:SIDES", help="chips and their sides, such as v5e:4x4"
    )
    parser.add_argument(
        "--num_examples",
        type=int,
        metavar="N",
        help="of the training split, where the data set is not prepared",
    )
    parser.add_argument(
        "--largest",
        action="store_true",
        help="look for the largest batch that fits; a compile per trial",
    )
    parser.require("topology")


def run(flags: argparse.Namespace) -> None:
    """Prints the plan."""
    config = arguments.load_config(flags)
    check.check(config)
    report(config, flags.topology, num_examples=flags.num_examples, largest=flags.largest)


def report(
    config: ConfigDict, topology: str, *, num_examples: int | None = None, largest: bool = False
) -> plan.Plan:
    """Compiles the step for a topology such as "v5e:4x4", prints what it costs, and returns that.

    largest: also compiles for other batches, to find the largest that fits: a compile each.

    Raises ImportError without the extra `plan`, UserError for an unknown topology or config.
    """
    chip, targets = plan.devices(topology)
    source = lowering.outline(config, num_examples)
    print(f"{config.method.name}, {config.encoder.name}, {len(source):,} images, {topology}")

    def compile_at(per_device: int) -> plan.Plan:
        resized = config.copy_and_resolve_references()
        resized.batch_size = per_device * len(targets)
        return plan.compile_step(lowering.lower(resized, source, targets), chip, per_device)

    devices.check_batch_size(config.batch_size, config.microbatches, len(targets))
    compiled = compile_at(config.batch_size // len(targets))
    images = config.epochs * (len(source) // config.batch_size) * config.batch_size
    print("\n".join(plan.lines(compiled, chip, len(targets), images)))
    if largest:
        best = plan.largest(compile_at, compiled, multiple_of=config.microbatches)
        print(f"largest batch that fits: {best} a device, {best * len(targets)} in all")
    return compiled
