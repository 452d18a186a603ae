"""A plan as text: a few lines per question, for a terminal."""

import collections
import re
from collections.abc import Iterator

from byol_jax.plan.chips import Chip
from byol_jax.plan.compiled import Plan
from byol_jax.plan.roofline import roofline

_SHOWN = 8  # parts of the program, of most traffic


def lines(plan: Plan, chip: Chip, num_devices: int, images: float) -> Iterator[str]:
    """What to print; images: of the whole run, all epochs together."""
    batch = plan.per_device * num_devices
    yield f"batch {batch:,} = {num_devices} devices x {plan.per_device}; compiled in {plan.seconds:.0f} s"
    yield from _memory(plan, chip)
    if plan.costs is not None:
        yield from _costs(plan)
        yield from _time(plan, chip, num_devices, images)
        yield from places(plan.costs.by_place)


def _memory(plan, chip):
    parts = [f"{kind} {_gib(size)}" for kind, size in plan.memory.items() if kind != "total"]
    yield "memory of a device: " + ", ".join(parts)
    total = plan.memory.get("total", 0)
    used = f"{_gib(total)} in all of {_gib(chip.memory)}" if total else "more than there is"
    yield f"  {used}: " + (
        "it fits" if plan.fits else "it does NOT fit; more microbatches, or devices"
    )


def _costs(plan):
    costs, images = plan.costs, plan.per_device
    each = costs.read_and_written / images / 1e6
    yield f"operations: {costs.flops / 1e9:,.0f} GFLOP, {costs.flops / images / 1e9:,.1f} an image"
    yield f"to and from memory: {costs.read_and_written / 1e9:,.2f} GB, {each:,.0f} MB an image"
    xla = plan.xla["bytes accessed"]
    yield (
        f"  (XLA's own count, with the scratchpad, loops once: {xla / 1e9:,.2f} GB, "
        f"{xla / images / 1e6:,.0f} MB an image)"
    )
    for kind, size in costs.sent.items():
        yield f"sent by {costs.counts[kind]:,} {kind}: {size / 1e6:,.1f} MB"


def _time(plan, chip, num_devices, images):
    limits = roofline(plan.costs, chip)
    each = ", ".join(f"{name} {1e3 * seconds:.1f}" for name, seconds in limits._asdict().items())
    yield f"at best {1e3 * limits.seconds:.1f} ms a step, bound by {limits.bound} (ms: {each})"
    if num_devices > 1:
        share = limits.interconnect / limits.seconds
        yield f"  collectives: {share:.1%} of that, where nothing else is done meanwhile"
    rate = plan.per_device * num_devices / limits.seconds
    yield f"  {rate:,.0f} images/s, {images / rate / 3600:,.1f} hours for all epochs"


def places(by_place: dict[str, float]) -> Iterator[str]:
    """The parts of the program that move most, of blocks and layers of one name the sum."""
    sums = collections.Counter()
    for name, size in by_place.items():
        sums[_part(name)] += size
    total = sum(sums.values())
    for part, size in sums.most_common(_SHOWN):
        yield f"  {size / total:5.1%} {size / 1e6:9,.0f} MB  {part}"


def _part(name) -> str:
    """'transpose(jvp(ResNet))/stage1' for jit(_fun)/shard_map/transpose(jvp(ResNet))/stage1_block1/…"""
    name = re.sub(r"^jit\(\w+\)/(shard_map/)?", "", name)
    return "/".join(re.sub(r"_block\d+", "", name).split("/")[:2])


def _gib(size) -> str:
    return f"{size / 2**30:,.2f} GiB"
