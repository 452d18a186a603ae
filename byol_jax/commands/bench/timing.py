"""Timing of several functions in alternation, and the peak memory of this process."""

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROUNDS = 7
_ALLOCATORS = ("tcmalloc", "jemalloc", "mimalloc")
SECONDS = 0.3  # A measurement repeats the call for at least this long.


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """A context manager that runs this thread, and threads that it starts, on one CPU core only.

    This works on Linux only; on other systems it prints that all cores may be used.
    """
    if not hasattr(os, "sched_setaffinity"):
        print("this system cannot restrict a process to one core; all cores may be used.")
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def alternate(
    calls: Mapping[str, Callable[[], object]], rounds: int | None = None
) -> dict[str, list[float]]:
    """Measures the time of several functions in rounds; each round calls every function once.

    An additional first round warms up and is not counted.

    Args:
        calls: The functions by name.
        rounds: The number of rounds that count; ROUNDS by default.

    Returns:
        For each name, the seconds per call in each round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range((ROUNDS if rounds is None else rounds) + 1):
        for name, call in calls.items():
            duration = _seconds(call)
            if number > 0:
                seconds[name].append(duration)
    return seconds


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    repeats = 0
    while (passed := time.perf_counter() - start) < SECONDS or not repeats:
        call()
        repeats += 1
    return passed / repeats


def report(seconds: Mapping[str, list[float]], num_images: int, unit: str) -> dict[str, Any]:
    """Prints the images per second of byol_jax and of its peers, and the ratio to each.

    Args:
        seconds: For each name, the seconds per call in each round; "byol_jax" comes first.
        num_images: The number of images per call.
        unit: The unit to print, such as "images/s".

    Returns:
        The images per second by name; with peers also "ratios", how many times as fast as each peer
        byol_jax is, the median over the rounds.
    """
    rates: dict[str, Any] = {}
    width = max(map(len, seconds)) + 2
    for name, durations in seconds.items():
        rates[name] = num_images / statistics.median(durations)
        print(f"{name:{width}}{rates[name]:10,.0f} {unit}")
    medians = {}
    for peer in list(seconds)[1:]:
        ratios = sorted(b / a for a, b in zip(seconds["byol_jax"], seconds[peer], strict=True))
        medians[peer] = statistics.median(ratios)
        print(
            f"byol_jax is {medians[peer]:.2f} times as fast as {peer} (median of {len(ratios)} "
            f"rounds, range {ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    return {**rates, "ratios": medians} if medians else rates


def allocator() -> str:
    """Names the allocator of host memory, and the environment variables that set it.

    The allocator changes the speed of a step on a CPU, most of all PyTorch's.

    Returns:
        A text such as "the C library's malloc with MALLOC_ARENA_MAX=1".
    """
    maps = Path("/proc/self/maps")
    loaded = maps.read_text(encoding="utf-8", errors="replace") if maps.exists() else ""
    names = [name for name in _ALLOCATORS if f"lib{name}" in loaded]
    settings = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"
    }
    words = [" and ".join(names) or "the C library's malloc"]
    words += [f"{name}={value}" for name, value in settings.items()]
    return " with ".join([words[0], ", ".join(words[1:])]) if settings else words[0]


def peak_bytes() -> int:
    """Returns the peak host memory of this process in bytes; not available on Windows."""
    import resource  # exists only on Unix

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
