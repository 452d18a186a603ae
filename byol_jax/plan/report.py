"""Formats the estimated cost of a train step as text for a terminal."""

import collections
import heapq
import re
from collections.abc import Iterator

from byol_jax.plan.chips import Chip
from byol_jax.plan.compiled import Plan
from byol_jax.plan.costs import Costs
from byol_jax.plan.roofline import roofline

_SHOWN = 8  # parts of the program, those with the most memory traffic


def lines(plan: Plan, chip: Chip, num_devices: int, images: float) -> Iterator[str]:
    """Formats the memory, the costs and the shortest possible time of a train step.

    Args:
        plan: The compiled step.
        chip: The limits of one chip.
        num_devices: Number of devices.
        images: Images of the whole run, all epochs together.

    Yields:
        Lines of text.
    """
    batch = plan.per_device * num_devices
    yield (
        f"batch {batch:,}: {num_devices} devices x {plan.per_device} images; "
        f"compiled in {plan.seconds:.0f} s"
    )
    yield from _memory(plan, chip)
    if plan.costs is not None:
        yield from _costs(plan, plan.costs)
        yield from _time(plan, plan.costs, chip, num_devices, images)
        yield from places(plan.costs.by_scope)


def _memory(plan: Plan, chip: Chip) -> Iterator[str]:
    parts = [f"{kind} {_gib(size)}" for kind, size in plan.memory.items() if kind != "total"]
    yield "memory per device: " + ", ".join(parts)
    total = plan.memory.get("total", 0)
    used = f"{_gib(total)} of {_gib(chip.memory)}" if total else "more than the device has"
    verdict = "it fits" if plan.fits else "it does NOT fit; use more microbatches or more devices"
    yield f"  total: {used}: {verdict}"


def _costs(plan: Plan, costs: Costs) -> Iterator[str]:
    images = plan.per_device
    traffic = costs.read_and_written
    yield (
        f"operations per device: {costs.flops / 1e9:,.0f} GFLOP, "
        f"{costs.flops / images / 1e9:,.1f} GFLOP per image"
    )
    if costs.extra_passes:
        yield (
            f"  and {costs.extra_passes / 1e9:,.0f} GFLOP in further passes of float32 products, "
            f"{costs.extra_passes / costs.flops:.2%} more"
        )
    per_image = traffic / images
    yield f"memory traffic per device: {traffic / 1e9:,.2f} GB, {per_image / 1e6:,.0f} MB per image"
    if plan.xla is not None:
        xla = plan.xla["bytes accessed"]
        yield (
            f"  (XLA's estimate: {xla / 1e9:,.2f} GB, {xla / images / 1e6:,.0f} MB per image; it "
            "includes scratchpads and counts the body of a loop once)"
        )
    for kind, size in costs.sent.items():
        yield f"sent per device by {costs.counts[kind]:,} {kind}: {size / 1e6:,.1f} MB"


def _time(plan: Plan, costs: Costs, chip: Chip, num_devices: int, images: float) -> Iterator[str]:
    limits = roofline(costs, chip)
    parts = ", ".join(
        f"{name} {1e3 * seconds:.1f} ms" for name, seconds in limits._asdict().items()
    )
    yield (
        f"shortest possible step: {1e3 * limits.seconds:.1f} ms, bound by {limits.bound} ({parts})"
    )
    if num_devices > 1:
        share = limits.interconnect / limits.seconds
        yield f"  collectives take {share:.1%} of this time if they do not overlap with other work"
    rate = plan.per_device * num_devices / limits.seconds
    yield f"  {rate:,.0f} images/s, {images / rate / 3600:,.1f} hours for all epochs"


def places(by_scope: dict[str, float]) -> Iterator[str]:
    """Formats the parts of a program with the most memory traffic.

    Blocks of one stage and layers of one name are added up.

    Args:
        by_scope: Bytes by name scope of the traced program.

    Yields:
        A heading and one line per part: its share of the traffic, its size, and its name.
    """
    sums = collections.defaultdict[str, float](float)
    for name, size in by_scope.items():
        sums[_part(name)] += size
    total = sum(sums.values())
    yield "largest parts of the memory traffic:"
    for part, size in heapq.nlargest(_SHOWN, sums.items(), key=lambda item: item[1]):
        yield f"  {size / total:5.1%} {size / 1e6:9,.0f} MB  {part}"


def _part(name: str) -> str:
    """Shortens a name scope to its main parts, such as jvp(ResNet)/stage1."""
    name = re.sub(r"^jit\(\w+\)/(shard_map/)?", "", name)
    return "/".join(re.sub(r"_block\d+", "", name).split("/")[:2])


def _gib(size: float) -> str:
    return f"{size / 2**30:,.2f} GiB"
