"""Compiles lowered programs and reports the memory and the costs of each."""

import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from byol_jax.plan import costs
from byol_jax.plan.chips import Chip

_SUFFIX = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Program(NamedTuple):
    """The memory that a compiled program needs on each device.

    Attributes:
        fits: True if the program fits in the memory of the chip. If the compiler ran out of memory,
            only the memory that it asked for is known.
        memory: Bytes by kind, and their sum as `total`.
        seconds: Compile time.
        text: HLO text of the compiled program; None if the compiler ran out of memory.
        accessed: Bytes that the program accesses by XLA's own count, which includes a TPU's on-chip
            scratchpad; None if the compiler does not count them, as for GPUs.
    """

    fits: bool
    memory: dict[str, float]
    seconds: float
    text: str | None
    accessed: float | None = None


class Plan(NamedTuple):
    """What a compiled train step needs on each device.

    Attributes:
        per_device: Images per device and step.
        program: The compiled step and its memory.
        costs: Operations and bytes per step; None if the compiler ran out of memory.
    """

    per_device: int
    program: Program
    costs: costs.Costs | None


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
    program = compile_program(lowered, chip)
    if program.text is None:
        return Plan(per_device, program, None)
    # JAX's type allows for a dialect without a text, which HLO is not.
    source = lowered.compiler_ir("hlo").as_hlo_text()  # pyright: ignore[reportOptionalMemberAccess]
    return Plan(per_device, program, costs.analyze(source, program.text))


def compile_program(lowered: jax.stages.Lowered, chip: Chip, *, resident: int = 0) -> Program:
    """Compiles a lowered program and reads its memory.

    Args:
        lowered: The program, lowered for the chips.
        chip: The limits of one chip.
        resident: Bytes of further arrays that stay in memory while the program runs.

    Returns:
        The memory of the program.
    """
    start = time.perf_counter()
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        memory = _requested_memory(str(error))
        if memory is None:
            raise
        return Program(False, memory, time.perf_counter() - start, None)
    seconds = time.perf_counter() - start
    memory = _memory(compiled.memory_analysis(), resident)
    fits = memory["total"] <= chip.share * chip.memory
    accessed = (compiled.cost_analysis() or {}).get("bytes accessed")
    return Program(fits, memory, seconds, compiled.as_text() or "", accessed)


def _memory(analysis: Any, resident: int) -> dict[str, float]:
    """Returns the memory of the program in bytes, by kind of buffer."""
    memory = {
        "arguments": analysis.argument_size_in_bytes,
        "outputs": analysis.output_size_in_bytes - analysis.alias_size_in_bytes,
        "temporaries": analysis.temp_size_in_bytes,
        "code": analysis.generated_code_size_in_bytes,
    }
    if resident:
        memory["resident"] = resident
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
    fits = first.per_device if first.program.fits else 0
    fails = None if first.program.fits else first.per_device
    while fails is None or fails - fits > max(multiple_of, fits // 8):
        trial = 2 * fits if fails is None else (fits + fails) // 2
        trial = max(trial // multiple_of, 1) * multiple_of
        if trial in (fits, fails) or trial > most:
            break
        if compile_at(trial).program.fits:
            fits = trial
        else:
            fails = trial
    return fits
