"""The chips that a step can be planned for, and their topologies, which libtpu describes."""

import importlib.util
import os
from typing import NamedTuple

import jax
from jax.experimental import topologies

from byol_jax import errors


class Chip(NamedTuple):
    """flops: bfloat16 operations a second; memory: bytes; bandwidth, interconnect: bytes a second.

    interconnect: what a chip sends over all of its links while it receives as much; half of what
    the manufacturer's tables call bidirectional.
    """

    flops: float
    memory: float
    bandwidth: float
    interconnect: float


# cloud.google.com/tpu/docs/v5e, /v5p and /v6e, the tables "Key chip specifications": peak compute
# per chip (bf16), HBM capacity and bandwidth, interchip interconnect bandwidth (1,600, 4,800 and
# 3,200 Gbps, of which 8 make a byte). v4 is not here: libtpu's v4 devices are halves of a chip.
CHIPS = {
    "v5e": Chip(flops=197e12, memory=16 * 2**30, bandwidth=819e9, interconnect=200e9),
    "v5p": Chip(flops=459e12, memory=95 * 2**30, bandwidth=2765e9, interconnect=600e9),
    "v6e": Chip(flops=918e12, memory=32 * 2**30, bandwidth=1640e9, interconnect=400e9),
}

_ALONE = {  # what libtpu would ask a cloud, and complain of
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",  # of this machine, which has none; not of the topology
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # another process may train, or plan
}


def devices(topology: str) -> tuple[Chip, list[jax.Device]]:
    """The chip and the devices of a topology, such as "v5e:4x4"; they can be compiled for, not run.

    Raises ImportError, naming the extra, where libtpu is missing, and ValueError for a topology
    that is unknown.
    """
    name, _, sides = topology.partition(":")
    if name not in CHIPS or not sides:
        raise errors.UserError(
            f"topology {topology!r} must be one of {', '.join(CHIPS)}, and its sides: v5e:4x4."
        )
    if importlib.util.find_spec("libtpu") is None:
        purpose = "planning compiles with libtpu, which is missing and needs no accelerator"
        raise errors.missing_extra("plan", purpose)
    jax.config.update("jax_platforms", "cpu")  # leave alone what accelerators there are
    for variable, value in _ALONE.items():
        os.environ.setdefault(variable, value)
    try:
        found = topologies.get_topology_desc(
            platform="tpu", topology_name=topology, chips_per_host_bounds=_host(sides)
        )
    except (ValueError, RuntimeError) as error:  # jax.errors.JaxRuntimeError is the latter
        raise errors.UserError(f"libtpu knows no topology {topology!r}: {error}") from error
    return CHIPS[name], list(found.devices)


def _host(sides: str) -> list[int]:
    """How many chips of each direction share a host: two by two, where there are as many."""
    lengths = [int(side) if side.isdigit() else 1 for side in sides.split("x")]
    return [2 if length % 2 == 0 else 1 for length in lengths[:2]] + [1]
