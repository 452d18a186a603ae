"""The command `plan`: compile a run for TPUs or GPUs, and estimate its memory and time."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from ml_collections import ConfigDict

from byol_jax import data, errors, plan
from byol_jax.builders import lowering
from byol_jax.commands import arguments
from byol_jax.config import check
from byol_jax.system import devices

EXAMPLE = "plan --config=configs/imagenet/byol.py --topology=v5e:4x4"


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `plan`."""
    parser.add_config("config file of the experiment")
    parser.add_argument(
        "--topology",
        metavar="CHIP:SIZE",
        help="what to compile for: TPUs (v5e, v5p or v6e) and the sides of their slice, such as "
        "v5e:4x4, or GPUs of one host (a100, h100, h200, l40s or rtx4090) and their number, such "
        "as h100:8",
    )
    parser.add_argument(
        "--num_examples",
        type=int,
        metavar="N",
        help="number of images in the training split; needed only if the data set is not prepared",
    )
    parser.add_argument(
        "--largest",
        action="store_true",
        help="also search for the largest batch that fits; this compiles the step several times",
    )
    parser.require("topology")


def run(flags: argparse.Namespace) -> None:
    """Compiles the train step and prints its cost."""
    config = arguments.load_config(flags)
    check.check(config)
    report(config, flags.topology, num_examples=flags.num_examples, largest=flags.largest)


def report(
    config: ConfigDict, topology: str, *, num_examples: int | None = None, largest: bool = False
) -> plan.Plan:
    """Compiles a run for TPUs or GPUs and prints its memory, operations and time.

    No accelerator is needed, and neither the model nor the data are allocated.

    Args:
        config: The experiment's config.
        topology: The chips, such as "v5e:4x4" or "h100:8"; see plan.devices.
        num_examples: The number of images in the training split, if the data set is not prepared.
        largest: Also search for the largest batch that fits. Each trial compiles the step once.

    Returns:
        The costs of the step with the config's batch size.

    Raises:
        MissingExtra: The compiler for these chips is not installed.
        UserError: The topology is unknown, or the batch size does not suit it.
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
    print("\n".join(_evaluation(config, source, targets, chip)))
    if largest:
        per_device = plan.largest(compile_at, compiled, multiple_of=config.microbatches)
        total = per_device * len(targets)
        print(f"largest batch that fits: {per_device} images per device, {total} in total")
    return compiled


def _evaluation(
    config: ConfigDict, source: data.Source, targets: Sequence[Any], chip: plan.Chip
) -> Iterator[str]:
    """Compiles the evaluation at the end of the run; yields lines about its memory."""
    try:
        evaluation = lowering.lower_evaluation(config, source, targets)
    except errors.UserError as error:
        yield f"evaluation: not planned: {error}"
        return
    if evaluation is None:
        yield "evaluation: none, because the data have no labels or the config has no protocols"
        return
    programs = {
        name: plan.compile_program(
            program, chip, resident=0 if name == "features" else evaluation.resident
        )
        for name, program in evaluation.programs.items()
    }
    yield from plan.evaluation_lines(programs, chip)
