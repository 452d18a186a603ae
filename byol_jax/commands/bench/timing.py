"""Timing of calls that take turns on one core, and what it tells."""

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator

ROUNDS = 7
SECONDS = 0.3  # of a measurement: the work is repeated so long


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Keeps the threads that start within to one core, where the system can (Linux)."""
    if not hasattr(os, "sched_setaffinity"):
        print("this system does not keep a process to one core: threads may use all.")
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def alternate(
    calls: dict[str, Callable[[], None]], rounds: int | None = None
) -> dict[str, list[float]]:
    """The seconds of a call, by name, in rounds that give every name its turn; one more is free.

    rounds: ROUNDS unless given.
    """
    seconds = {name: [] for name in calls}
    for number in range((ROUNDS if rounds is None else rounds) + 1):
        for name, call in calls.items():
            taken = _seconds(call)
            if number:
                seconds[name].append(taken)
    return seconds


def _seconds(call):
    start, repeats = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < SECONDS or not repeats:
        call()
        repeats += 1
    return passed / repeats


def report(seconds: dict[str, list[float]], num_images: int, unit: str) -> dict[str, float]:
    """Prints and returns the images per second of each name, "byol_jax" first.

    Where there is another, also "ratio": how many times faster ours is, the median over rounds.
    """
    rates = {}
    for name, each in seconds.items():
        rates[name] = num_images / statistics.median(each)
        print(f"{name:12}{rates[name]:10,.0f} {unit}")
    for name in list(seconds)[1:]:
        ratios = sorted(b / a for a, b in zip(seconds["byol_jax"], seconds[name], strict=True))
        rates["ratio"] = statistics.median(ratios)
        print(
            f"ratio {rates['ratio']:.2f}, median of {len(ratios)} rounds, {ratios[0]:.2f} to "
            f"{ratios[-1]:.2f}"
        )
    return rates


def peak_bytes() -> int:
    """The most memory that this process has had; of accelerators' own memory nothing. Not Windows."""
    import resource  # which only Unix has

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
