"""Checks of the devices: are they there, and as fast as their data sheet says?"""

import glob
import time
from collections.abc import Callable, Iterator
from typing import Any

from byol_jax.commands.doctor.findings import OK, PROBLEM, WARNING, Finding
from byol_jax.system import chips

_ROUNDS = 5
_SECONDS = 0.1  # the shortest time of a round
_SLOW = 0.5  # of the rate in the data sheet
_SLOW_MEMORY = 0.6
_TAKEN = 0.5  # of a device's memory that other programs may use
_SLOW_LINKS = 10e9  # bytes per second, less than PCI Express 4.0 carries


def check_devices() -> tuple[list[Finding], list[Any]]:
    """Lists the devices of JAX, and looks for accelerators that JAX does not see.

    Returns:
        The findings, and the devices of this process.
    """
    import jax

    try:
        devices = jax.local_devices()
    except RuntimeError as error:
        first_line = str(error).partition("\n")[0]
        advice = (
            "install the extra for this accelerator, byol_jax[cuda] or byol_jax[tpu]; see above"
        )
        return [Finding("devices", f"JAX finds none: {first_line}", PROBLEM, advice)], []
    kinds = sorted({device.device_kind for device in devices})
    platform = devices[0].platform
    everywhere = jax.device_count()
    value = f"{len(devices)} x {', '.join(kinds)} ({platform})"
    if jax.process_count() > 1:
        value += f", {everywhere} on {jax.process_count()} hosts"
    findings = [Finding("devices", value)]
    if platform == "cpu":
        findings += list(_unused_accelerators())
    return findings, devices


def _unused_accelerators() -> Iterator[Finding]:
    for name, pattern, extra in (
        ("GPU", "/dev/nvidia[0-9]*", "cuda"),
        ("TPU", "/dev/accel[0-9]*", "tpu"),
        ("TPU", "/dev/vfio/[0-9]*", "tpu"),
    ):
        if glob.glob(pattern):
            yield Finding(
                name,
                "this machine has one, but JAX uses the CPU",
                PROBLEM,
                f"run pip install 'byol_jax[{extra}]', and unset JAX_PLATFORMS",
            )


def check_memory(device: Any) -> Iterator[Finding]:
    """Checks how much of a device's memory is free.

    Args:
        device: The JAX device.

    Yields:
        A finding if the device reports its memory.
    """
    stats = device.memory_stats() or {}
    limit = stats.get("bytes_limit")
    if not limit:
        return
    sheet = chips.find(device.device_kind)
    total = sheet.memory if sheet else limit
    taken = limit < _TAKEN * total
    yield Finding(
        "device memory",
        f"{limit / 2**30:,.1f} GiB for JAX of {total / 2**30:,.0f} GiB",
        WARNING if taken else OK,
        "another program uses the device, or XLA_CLIENT_MEM_FRACTION is low" if taken else "",
    )


def check_rates(device: Any) -> tuple[list[Finding], float]:
    """Measures matrix products and memory copies, and compares them with the data sheet.

    Args:
        device: The JAX device.

    Returns:
        The findings, and the operations per second of a bfloat16 product.
    """
    sheet = chips.find(device.device_kind)
    side = 1024 if device.platform == "cpu" else 8192
    products = {dtype: _product_rate(device, side, dtype) for dtype in ("bfloat16", "float32")}
    best = None if sheet is None else sheet.flops
    findings = [
        _compare(
            "bfloat16 product",
            products["bfloat16"],
            best,
            "FLOP/s",
            _SLOW,
            "check the clocks, the temperature and the power limit of the device, and whether "
            "another program uses it",
        ),
        _compare("float32 product", products["float32"], None, "FLOP/s", 0.0, ""),
    ]
    bandwidth = None if sheet is None else sheet.bandwidth
    findings.append(
        _compare(
            "memory bandwidth",
            _copy_rate(device),
            bandwidth,
            "B/s",
            _SLOW_MEMORY,
            "check whether another program uses the device, and whether it is a part of a device",
        )
    )
    return findings, products["bfloat16"]


def check_collectives(devices: list[Any]) -> Iterator[Finding]:
    """Measures the sum of an array over all devices of all hosts.

    Args:
        devices: The devices of this process.

    Yields:
        A finding if there are several devices.
    """
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding, PartitionSpec

    count = jax.device_count()
    if count < 2:
        return
    size = (4 if devices[0].platform == "cpu" else 64) * 2**20
    mesh = jax.sharding.Mesh(jax.devices(), "d")
    whole = NamedSharding(mesh, PartitionSpec("d"))
    make = jax.jit(lambda: jnp.ones((count, size // 4), jnp.float32), out_shardings=whole)
    total = jax.jit(
        lambda x: jnp.sum(x, axis=0), out_shardings=NamedSharding(mesh, PartitionSpec())
    )
    array = make()
    seconds = _seconds(lambda: total(array))
    rate = 2 * (count - 1) / count * size / seconds
    slow = devices[0].platform != "cpu" and rate < _SLOW_LINKS
    yield Finding(
        "all-reduce",
        f"{rate / 1e9:,.1f} GB/s per device over {count} devices",
        WARNING if slow else OK,
        "the gradients of each step pass these links; check that NVLink or InfiniBand is in use "
        "(NCCL_DEBUG=INFO prints it)"
        if slow
        else "",
    )


def _compare(
    name: str, rate: float, best: float | None, unit: str, least: float, advice: str
) -> Finding:
    value = f"{rate / 1e9:,.1f} G{unit}"
    if best is None:
        return Finding(name, value)
    value += f", {rate / best:.0%} of the data sheet"
    slow = rate < least * best
    return Finding(name, value, WARNING if slow else OK, advice if slow else "")


def _product_rate(device: Any, side: int, dtype: str) -> float:
    import jax
    import jax.numpy as jnp

    a = jax.device_put(jnp.ones((side, side), dtype), device)
    product = jax.jit(jnp.matmul)
    return 2 * side**3 / _seconds(lambda: product(a, a))


def _copy_rate(device: Any) -> float:
    """Returns the bytes per second that a device reads and writes while it adds 1 to an array."""
    import jax
    import jax.numpy as jnp

    size = (64 if device.platform == "cpu" else 1024) * 2**20
    array = jax.device_put(jnp.zeros(size // 4, jnp.float32), device)
    add = jax.jit(lambda x: x + 1, donate_argnums=0)  # in place: a new array costs the CPU more

    def call():
        nonlocal array
        array = add(array)
        return array

    return 2 * size / _seconds(call)


def _seconds(call: Callable[[], Any]) -> float:
    """Returns the seconds of a call on the device, the least of several rounds."""
    call().block_until_ready()
    rounds = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        count = 0
        while not count or time.perf_counter() - start < _SECONDS:
            result = call()
            result.block_until_ready()
            count += 1
        rounds.append((time.perf_counter() - start) / count)
    return min(rounds)
