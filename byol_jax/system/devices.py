"""Placement of arrays on devices, and the check that a batch divides evenly over them."""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from byol_jax import errors, train_step

Tree = TypeVar("Tree")


def replicated(devices: Sequence[Any] | None = None) -> NamedSharding:
    """Returns the sharding that puts a full copy of an array on each device.

    Args:
        devices: JAX devices; by default the devices of this process.

    Returns:
        A sharding for arrays of any shape.
    """
    return NamedSharding(_mesh(devices), PartitionSpec())


def sharded(devices: Sequence[Any] | None = None) -> NamedSharding:
    """Returns the sharding that splits the first axis of an array over the devices.

    Args:
        devices: JAX devices; by default the devices of this process.

    Returns:
        A sharding for arrays whose first axis is a multiple of the number of devices.
    """
    return NamedSharding(_mesh(devices), PartitionSpec(train_step.AXIS))


def _mesh(devices: Sequence[Any] | None) -> Mesh:
    return Mesh(jax.local_devices() if devices is None else devices, train_step.AXIS)


def outline(tree: Any, sharding: NamedSharding) -> Any:
    """Describes the arrays of a pytree by their shapes, to lower a program for other devices.

    Args:
        tree: Pytree of arrays or of jax.ShapeDtypeStruct.
        sharding: Where the program expects the arrays; its devices need not be attached.

    Returns:
        Pytree of jax.ShapeDtypeStruct with this sharding.
    """
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def replicate(tree: Tree) -> Tree:
    """Copies every array of a pytree to each device of this process.

    Args:
        tree: Pytree of arrays.

    Returns:
        Pytree of the same structure and values. It shares no memory with `tree`, so its arrays can
        be donated to a compiled function.
    """
    # A direct copy from device to device could share memory; a copy through the host cannot.
    return jax.device_put(jax.device_get(tree), replicated())


def shard(batch: dict) -> dict[str, jax.Array]:
    """Splits a batch into equal parts and puts one part on each device of this process.

    Args:
        batch: Arrays [B, ...] of this process, by name; the number of devices must divide B.

    Returns:
        Arrays [devices, B / devices, ...], by name.
    """
    sharding = sharded()
    count = sharding.num_devices
    parts = {name: x.reshape(count, -1, *x.shape[1:]) for name, x in batch.items()}
    return jax.device_put(parts, sharding)


def check_batch_size(batch_size: int, microbatches: int, num_devices: int | None = None) -> None:
    """Checks that a batch splits evenly over devices, and each part evenly into microbatches.

    Args:
        batch_size: Number of examples in the batch of all devices.
        microbatches: Number of parts into which each device splits its share.
        num_devices: Number of devices; by default all devices of all processes.

    Raises:
        UserError: The batch does not divide evenly. The message suggests a size that does.
    """
    num_devices = num_devices or jax.device_count()
    parts = num_devices * microbatches
    if batch_size % parts or batch_size < 1:
        divisors = f"{num_devices} devices"
        if microbatches > 1:
            divisors += f" x {microbatches} microbatches"
        suggestion = max(batch_size // parts, 1) * parts
        raise errors.UserError(
            f"batch_size ({batch_size}) must split evenly into {divisors}; try {suggestion}.",
            section="batch_size",
            value=batch_size,
        )
