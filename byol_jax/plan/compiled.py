"""Compiles a lowered step and takes its measure."""

import re
import time
from collections.abc import Callable
from typing import NamedTuple

import jax

from byol_jax.plan import costs
from byol_jax.plan.chips import Chip

_SUFFIX = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Plan(NamedTuple):
    """What a step takes of each device.

    memory: bytes by kind, `total` of all at once.  fits: in the chip's memory. Where it does not,
    only the memory that the compiler wanted is known, and costs and xla are None.
    xla: its own analysis: a loop's body counted once, and the scratchpad's traffic as memory's.
    """

    per_device: int
    fits: bool
    memory: dict[str, float]
    costs: costs.Costs | None
    xla: dict[str, float] | None
    seconds: float


def compile_step(lowered: jax.stages.Lowered, chip: Chip, per_device: int) -> Plan:
    """Compiles, for minutes where the step is large; per_device: its batch, for the record."""
    print(f"compiling for {per_device} images a device …", flush=True)
    start = time.perf_counter()
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        wanted = _wanted(str(error))
        if wanted is None:
            raise
        return Plan(per_device, False, wanted, None, None, time.perf_counter() - start)
    seconds = time.perf_counter() - start
    memory, xla = _memory(compiled.memory_analysis()), compiled.cost_analysis()
    fits = memory["total"] <= chip.memory
    return Plan(per_device, fits, memory, costs.of(compiled.as_text()), xla, seconds)


def _memory(found) -> dict[str, float]:
    """Donated arguments are given back as outputs: these take their room once."""
    memory = {
        "arguments": found.argument_size_in_bytes,
        "outputs": found.output_size_in_bytes - found.alias_size_in_bytes,
        "temporaries": found.temp_size_in_bytes,
        "code": found.generated_code_size_in_bytes,
    }
    return {**memory, "total": sum(memory.values())}


def _wanted(message: str) -> dict[str, float] | None:
    """The bytes that a program without enough memory wanted, by the compiler's complaint."""
    if "RESOURCE_EXHAUSTED" not in message:
        return None
    patterns = {
        "temporaries": r"HLO temporaries \(([\d.]+)([KMGT]?)\)",
        "total": r"Used ([\d.]+)([KMGT]?)",
    }
    wanted = {}
    for kind, pattern in patterns.items():
        if found := re.search(pattern, message):
            wanted[kind] = float(found.group(1)) * _SUFFIX[found.group(2)]
    return wanted


def largest(
    compile_at: Callable[[int], Plan], first: Plan, *, multiple_of: int = 1, most: int = 2**16
) -> int:
    """The largest batch of a device that fits, by doubling and halving from `first`; 0 if none.

    compile_at(per_device) -> Plan. Found to an eighth of itself or to multiple_of, whichever is
    larger, since each trial is a compile.
    """
    fits, fails = (first.per_device, None) if first.fits else (0, first.per_device)
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
