"""The devices of a topology to compile for, without such devices."""

import importlib.util
import os
from typing import Any

import jax
from jax.experimental import topologies

from byol_jax import errors
from byol_jax.system.chips import CHIPS, Chip

_TPUS = ("v5e", "v5p", "v6e")

# Without these variables, libtpu queries a cloud service about this machine and prints errors.
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",  # of this machine; does not restrict the topology
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # another process may be training or planning
}


def devices(topology: str) -> tuple[Chip, list[Any]]:
    """Returns the kind of chip and the devices of a TPU topology.

    Programs can be compiled for these devices but not run on them.

    Args:
        topology: Kind of chip and its grid, such as "v5e:4x4".

    Returns:
        The limits of the chip, and the JAX devices of the topology.

    Raises:
        UserError: If the topology is unknown.
        MissingExtra: If libtpu is not installed.
    """
    name, _, sides = topology.partition(":")
    if name not in _TPUS or not sides:
        names = ", ".join(_TPUS)
        raise errors.UserError(
            f"topology {topology!r}: the chip must be one of {names}, followed by the dimensions "
            "of the grid, such as v5e:4x4."
        )
    if importlib.util.find_spec("libtpu") is None:
        purpose = "planning needs libtpu to compile for TPUs (no accelerator is needed)"
        raise errors.missing_extra("plan", purpose)
    jax.config.update("jax_platforms", "cpu")  # do not occupy the accelerators of this machine
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    try:
        description = topologies.get_topology_desc(
            platform="tpu", topology_name=topology, chips_per_host_bounds=_host_bounds(sides)
        )
    except (ValueError, RuntimeError) as error:  # JaxRuntimeError is a RuntimeError
        raise errors.UserError(f"libtpu does not know topology {topology!r}: {error}") from error
    return CHIPS[name], list(description.devices)


def _host_bounds(sides: str) -> list[int]:
    """Returns the number of chips per host along each axis of a topology."""
    lengths = [int(side) if side.isdigit() else 1 for side in sides.split("x")]
    return [2 if length % 2 == 0 else 1 for length in lengths[:2]] + [1]
