"""The accelerators of a topology to compile for, without such accelerators."""

import os
from typing import Any

import jax

from byol_jax import errors
from byol_jax.plan import gpus, tpus
from byol_jax.system.chips import CHIPS, Chip

_SHARE = "XLA_CLIENT_MEM_FRACTION"


def devices(topology: str) -> tuple[Chip, list[Any]]:
    """Returns the kind of accelerator and the devices of a topology.

    Programs can be compiled for these devices but not run on them.

    Args:
        topology: Kind of TPU and the sides of the slice in chips, such as "v5e:4x4", or kind of GPU
            and the number of GPUs of one host, such as "h100:8".

    Returns:
        The limits of the accelerator, and the JAX devices of the topology.

    Raises:
        UserError: If the topology is unknown.
        MissingExtra: If the compiler for these accelerators is not installed.
    """
    name, _, size = topology.partition(":")
    if not (name in tpus.NAMES and size) and not (name in gpus.NAMES and size.isdecimal()):
        tpu_names = ", ".join(tpus.NAMES)
        gpu_names = ", ".join(gpus.NAMES)
        raise errors.UserError(
            f"topology {topology!r}: name TPUs ({tpu_names}) with the sides of their slice, such "
            f"as v5e:4x4, or the GPUs ({gpu_names}) of one host with their number, such as h100:8."
        )
    jax.config.update("jax_platforms", "cpu")  # do not occupy the accelerators of this machine
    chip = CHIPS[name]
    if name in tpus.NAMES:
        return chip, tpus.devices(name, size)
    return chip._replace(share=_share(chip)), gpus.devices(name, int(size))


def _share(chip: Chip) -> float:
    """Returns the fraction of a GPU's memory that JAX uses."""
    text = os.environ.get(_SHARE) or str(chip.share)
    try:
        return float(text)
    except ValueError as error:
        raise errors.UserError(
            f"the environment variable {_SHARE} must be a number such as 0.9, not {text!r}."
        ) from error
