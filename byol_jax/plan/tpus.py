"""The devices of a TPU slice to compile for, without TPUs."""

import importlib.util
import os
from typing import Any

from jax.experimental import topologies

from byol_jax import errors

NAMES = ("v5e", "v5p", "v6e")

# Without these variables, libtpu queries a cloud service about this machine and prints errors.
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",  # of this machine; does not restrict the topology
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # another process may be training or planning
}


def devices(name: str, sides: str) -> list[Any]:
    """Returns the devices of a TPU slice.

    Args:
        name: Kind of chip, one of NAMES.
        sides: Sides of the slice in chips, such as "4x4".

    Returns:
        JAX devices to compile for.

    Raises:
        UserError: If libtpu does not know the slice.
        MissingExtra: If libtpu is not installed.
    """
    if importlib.util.find_spec("libtpu") is None:
        purpose = "planning for TPUs needs their compiler, libtpu (no TPU is needed)"
        raise errors.missing_extra("plan", purpose)
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    topology = f"{name}:{sides}"
    try:
        description = topologies.get_topology_desc(
            platform="tpu", topology_name=topology, chips_per_host_bounds=_host_bounds(sides)
        )
    except (ValueError, RuntimeError) as error:  # JaxRuntimeError is a RuntimeError
        raise errors.UserError(f"libtpu does not know topology {topology!r}: {error}") from error
    return list(description.devices)


def _host_bounds(sides: str) -> list[int]:
    """Returns the number of chips per host along each axis of a topology."""
    lengths = [int(side) if side.isdigit() else 1 for side in sides.split("x")]
    return [2 if length % 2 == 0 else 1 for length in lengths[:2]] + [1]
