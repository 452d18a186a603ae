"""Profiles a compiled function: which kernels take the most time?"""

import collections
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import jax

_CALLS = 3
_NUM_KERNELS = 10
_CPU_THREADS = "tf_XLA"  # the start of their names


def largest(call: Callable[[], object], count: int = _NUM_KERNELS) -> dict[str, float]:
    """Runs a function under JAX's profiler, and adds up the time of each kernel.

    Args:
        call: A compiled function, which returns after its program ends.
        count: The number of kernels to return.

    Returns:
        The share of the kernels' whole time by name, of those with the largest shares. Empty if
        the profiler records no kernels on this platform.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(_CALLS):
                call()
        files = list(Path(folder).rglob("*.xplane.pb"))
        nanoseconds = _sum_kernels(files)
    total = sum(nanoseconds.values())
    return {name: spent / total for name, spent in nanoseconds.most_common(count)}


def _sum_kernels(files: list[Path]) -> collections.Counter[str]:
    """Adds up the nanoseconds of each kernel on the devices, or on the threads of a CPU."""
    nanoseconds = collections.Counter[str]()
    for file in files:
        planes = list(jax.profiler.ProfileData.from_file(str(file)).planes)
        on_device = [plane for plane in planes if plane.name.startswith("/device:")]
        for plane in on_device or planes:
            for line in plane.lines:
                if on_device and line.name in ("Steps", "XLA Modules", "XLA TraceMe"):
                    continue  # they contain the kernels
                if not on_device and not line.name.startswith(_CPU_THREADS):
                    continue
                for event in line.events:
                    # Other events belong to the profiler or to the thread pool.
                    if "::" not in event.name and not event.name.startswith("end: "):
                        nanoseconds[_kind(event.name)] += event.duration_ns
    return nanoseconds


def _kind(name: str) -> str:
    """Returns the name of a kernel without its number, such as fusion for fusion.12."""
    return re.sub(r"[._]\d+$", "", name)
