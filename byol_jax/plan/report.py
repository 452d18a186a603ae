"""Formats the estimated cost of a run as text for a terminal."""

import collections
import heapq
import re
from collections.abc import Iterator, Mapping

from byol_jax.plan.chips import Chip
from byol_jax.plan.compiled import Plan, Program
from byol_jax.plan.costs import Costs
from byol_jax.plan.roofline import compute_seconds, roofline

_SHOWN = 8  # parts of the program, those with the most memory traffic
_SMALLER = "a part of the training split (evaluate.data.train_split), or evaluate on another device"
_SMALLEST = 0.001  # share of the time of the arithmetic that is worth a line
_MOST = 0.92  # of a GPU's memory that JAX can use; the libraries need the rest


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
        f"compiled in {plan.program.seconds:.0f} s"
    )
    yield from _memory(plan.program, chip)
    if plan.costs is not None:
        yield from _costs(plan, plan.costs, chip)
        yield from _time(plan, plan.costs, chip, num_devices, images)
        yield from places(plan.costs.by_scope)


def evaluation_lines(programs: Mapping[str, Program], chip: Chip) -> Iterator[str]:
    """Formats the memory of the evaluation at the end of a run.

    Args:
        programs: The compiled programs of the evaluation, by what they compute.
        chip: The limits of one chip.

    Yields:
        Lines of text.
    """
    for name, program in programs.items():
        used = _used(program, chip)
        yield f"evaluation, {name}: {used}: {_verdict(program, chip, _SMALLER)}"


def _memory(program: Program, chip: Chip) -> Iterator[str]:
    parts = [f"{kind} {_gib(size)}" for kind, size in program.memory.items() if kind != "total"]
    yield "memory per device: " + ", ".join(parts)
    used = _used(program, chip)
    yield f"  total: {used}: {_verdict(program, chip, 'more microbatches or more devices')}"


def _used(program: Program, chip: Chip) -> str:
    total = program.memory.get("total", 0)
    if not total:
        return "more than the device has"
    share = "" if chip.share == 1 else f" ({chip.share:.0%} of {_gib(chip.memory)})"
    return f"{_gib(total)} of {_gib(chip.share * chip.memory)}{share}"


def _verdict(program: Program, chip: Chip, remedy: str) -> str:
    if program.fits:
        return "it fits"
    if program.memory.get("total", chip.memory) < _MOST * chip.memory:
        return (
            f"it does NOT fit; set XLA_CLIENT_MEM_FRACTION={_MOST}, so that JAX uses more of the "
            f"memory, or use {remedy}"
        )
    return f"it does NOT fit; use {remedy}"


def _costs(plan: Plan, costs: Costs, chip: Chip) -> Iterator[str]:
    images = plan.per_device
    traffic = costs.read_and_written
    flops = sum(costs.flops.values())
    yield (
        f"operations per device: {flops / 1e9:,.0f} GFLOP, {flops / images / 1e9:,.1f} GFLOP per "
        "image"
    )
    highest = costs.flops["highest"]
    share = highest / chip.highest / compute_seconds(costs, chip)
    if share >= _SMALLEST:
        yield (
            f"  {highest / 1e9:,.1f} GFLOP of them in float32 products of the highest precision, "
            f"{share:.1%} of the time of the arithmetic"
        )
    per_image = traffic / images
    yield f"memory traffic per device: {traffic / 1e9:,.2f} GB, {per_image / 1e6:,.0f} MB per image"
    accessed = plan.program.accessed
    if accessed is not None:
        yield (
            f"  XLA counts {accessed / 1e9:,.2f} GB, {accessed / images / 1e6:,.0f} MB per image, "
            "because it includes the on-chip scratchpad"
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
