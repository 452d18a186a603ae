"""The GPUs of one host to compile for, without GPUs."""

import contextlib
import importlib
import os
from typing import Any, NamedTuple

from jax.experimental import topologies

from byol_jax import errors
from byol_jax.system.chips import CHIPS

MOST = 8  # GPUs of one host
_PLUGINS = ("jax_plugins.xla_cuda13", "jax_plugins.xla_cuda12")


class _Target(NamedTuple):
    """What XLA's compiler asks about a GPU, beyond its data sheet.

    Source: NVIDIA's papers on the architectures Ampere, Ada and Hopper, and the table "Technical
    specifications per compute capability" of the CUDA C++ programming guide.

    Attributes:
        major: First part of the CUDA compute capability.
        minor: Second part of the CUDA compute capability.
        cores: Number of streaming multiprocessors.
        units: float32 units per multiprocessor.
        threads: Largest number of threads per multiprocessor.
        shared: Shared memory per multiprocessor in bytes; a block can use all but 1 KiB.
        cache: L2 cache in bytes.
        clock: Clock in GHz.
    """

    major: int
    minor: int
    cores: int
    units: int
    threads: int
    shared: int
    cache: int
    clock: float


_TARGETS = {
    "a100": _Target(8, 0, 108, 64, 2048, 164 * 2**10, 40 * 2**20, 1.41),
    "h100": _Target(9, 0, 132, 128, 2048, 228 * 2**10, 50 * 2**20, 1.98),
    "h200": _Target(9, 0, 132, 128, 2048, 228 * 2**10, 50 * 2**20, 1.98),
    "l40s": _Target(8, 9, 142, 128, 1536, 100 * 2**10, 96 * 2**20, 2.52),
    "rtx4090": _Target(8, 9, 128, 128, 1536, 100 * 2**10, 72 * 2**20, 2.52),
}
NAMES = tuple(_TARGETS)

# The message GpuTargetConfigProto of XLA, as a text proto.
_CONFIG = """
gpu_device_info {{
  cuda_compute_capability {{ major: {major} minor: {minor} }}
  core_count: {cores}
  fpus_per_core: {units}
  clock_rate_ghz: {clock}
  device_memory_size: {memory}
  memory_bandwidth: {bandwidth}
  l2_cache_size: {cache}
  shared_memory_per_core: {shared}
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: {shared_by_block}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  threads_per_core_limit: {threads}
  threads_per_block_limit: 1024
  threads_per_warp: 32
  thread_dim_limit_x: 1024
  thread_dim_limit_y: 1024
  thread_dim_limit_z: 64
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
runtime_version {{ major: 12 minor: 8 }}
device_description_str: "{description}"
"""


def devices(name: str, count: int) -> list[Any]:
    """Returns GPUs of one host.

    Args:
        name: Kind of GPU, one of NAMES.
        count: Number of GPUs.

    Returns:
        JAX devices to compile for.

    Raises:
        UserError: If the number of GPUs is below 1 or above MOST.
        MissingExtra: If JAX's plugin for CUDA is not installed.
    """
    if not 1 <= count <= MOST:
        raise errors.UserError(
            f"topology '{name}:{count}': a host has 1 to {MOST} GPUs; plan for the GPUs of one "
            "host, with the share of the batch that this host gets."
        )
    _register()
    target = _TARGETS[name]
    chip = CHIPS[name]
    config = _CONFIG.format(
        **target._asdict(),
        shared_by_block=target.shared - 1024,
        memory=int(chip.memory),
        bandwidth=int(chip.bandwidth),
        description=f"NVIDIA {chip.kind}",
    )
    description = topologies.get_topology_desc(
        platform="cuda", topology_name="", topology=f"1x1x{count}", target_config=config
    )
    return list(description.devices)


def _register() -> None:
    """Imports JAX's plugin for CUDA, which registers the platform and its compiler."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "1":  # the value that JAX sets
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"  # no warnings that a GPU is missing
    for plugin in _PLUGINS:
        with contextlib.suppress(ImportError):
            importlib.import_module(plugin)
            return
    purpose = "planning for GPUs needs their compiler, JAX's plugin for CUDA (no GPU is needed)"
    raise errors.missing_extra("plan_cuda", purpose)
