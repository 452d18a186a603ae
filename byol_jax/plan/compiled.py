"""Compiles a lowered train step and reports its memory and its costs."""

import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from byol_jax.plan import costs
from byol_jax.plan.chips import Chip

_SUFFIX = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Plan(NamedTuple):
    """The memory and the operations that a compiled train step needs on each device.

    Attributes:
        per_device: Images per device and step.
        fits: True if the program fits in the memory of the chip. If the compiler ran out of memory,
            only the memory that it asked for is known.
        memory: Bytes by kind, and their sum as `total`.
        costs: Operations and bytes per step; None if the compiler ran out of memory.
        xla: XLA's own cost analysis, which counts the body of a loop once and scratchpad traffic as
            memory traffic; None if the compiler ran out of memory.
        seconds: Compile time.
    """

    per_device: int
    fits: bool
    memory: dict[str, float]
    costs: costs.Costs | None
    xla: dict[str, float] | None
    seconds: float


def compile_step(lowered: jax.stages.Lowered, chip: Chip, per_device: int) -> Plan:
    """Compiles a lowered train step, which can take minutes.

    Args:
        lowered: The train step, lowered for the chips.
        chip: The limits of one chip.
        per_device: Images per device in this step, for the record.

    Returns:
        What the program needs.
    """
    print(f"compiling for {per_device} images per device …", flush=True)
    start = time.perf_counter()
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        memory = _requested_memory(str(error))
        if memory is None:
            raise
        return Plan(per_device, False, memory, None, None, time.perf_counter() - start)
    seconds = time.perf_counter() - start
    memory = _memory(compiled.memory_analysis())
    return Plan(
        per_device,
        fits=memory["total"] <= chip.memory,
        memory=memory,
        costs=costs.analyze(compiled.as_text() or ""),
        xla=compiled.cost_analysis(),
        seconds=seconds,
    )


def _memory(analysis: Any) -> dict[str, float]:
    """Returns the memory of the program in bytes, by kind of buffer."""
    memory = {
        "arguments": analysis.argument_size_in_bytes,
        "outputs": analysis.output_size_in_bytes - analysis.alias_size_in_bytes,
        "temporaries": analysis.temp_size_in_bytes,
        "code": analysis.generated_code_size_in_bytes,
    }
    return {**memory, "total": sum(memory.values())}


def _requested_memory(message: str) -> dict[str, float] | None:
    """Returns the bytes that an out-of-memory error says a program needs; None for other errors."""
    if "RESOURCE_EXHAUSTED" not in message:
        return None
    patterns = {
        "temporaries": r"HLO temporaries \(([\d.]+)([KMGT]?)\)",
        "total": r"Used ([\d.]+)([KMGT]?)",
    }
    memory = {}
    for kind, pattern in patterns.items():
        if match := re.search(pattern, message):
            number, suffix = match.groups()
            memory[kind] = float(number) * _SUFFIX[suffix]
    return memory


def largest(
    compile_at: Callable[[int], Plan], first: Plan, *, multiple_of: int = 1, most: int = 2**16
) -> int:
    """Finds the largest batch per device that fits in memory, by doubling and bisection.

    The search stops within an eighth of the result, or within multiple_of if that is larger,
    because each trial compiles a program.

    Args:
        compile_at: Compiles the step for a number of images per device.
        first: The plan to start from.
        multiple_of: The result is a multiple of this number.
        most: Largest number of images per device to try.

    Returns:
        Images per device; 0 if no trial fits.
    """
    fits = first.per_device if first.fits else 0
    fails = None if first.fits else first.per_device
    while fails is None or fails - fits > max(multiple_of, fits // 8):
        trial = 2 * fits if fails is None else (fits + fails) // 2
        trial = max(trial // multiple_of, 1) * multiple_of
        if trial in (fits, fails) or trial > most:
            break
        if compile_at(trial).fits:
            fits = trial
        else:
            fails = trial
    return fits
