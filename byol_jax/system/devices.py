"""The device mesh: where arrays live, and which batches divide over it."""

import chex
import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from byol_jax import errors, train_step


def replicated(devices: list[jax.Device] | None = None) -> NamedSharding:
    """A copy on each device; devices: this process's, unless given."""
    return NamedSharding(_mesh(devices), PartitionSpec())


def sharded(devices: list[jax.Device] | None = None) -> NamedSharding:
    """The first axis divided over the devices; devices: this process's, unless given."""
    return NamedSharding(_mesh(devices), PartitionSpec(train_step.AXIS))


def _mesh(devices) -> Mesh:
    return Mesh(jax.local_devices() if devices is None else devices, train_step.AXIS)


def replicate(tree: chex.ArrayTree) -> chex.ArrayTree:
    """Places a copy of every array on each of this process's devices.

    By way of the host, so that the copies share no memory with `tree` and may be donated.
    """
    return jax.device_put(jax.device_get(tree), replicated())


def shard(batch: dict) -> dict[str, jax.Array]:
    """Places on every device its part of a batch.

    Leaves [B, …] of this process become [devices, B / devices, …].
    """
    sharding = sharded()
    count = sharding.num_devices
    parts = {name: x.reshape(count, -1, *x.shape[1:]) for name, x in batch.items()}
    return jax.device_put(parts, sharding)


def check_batch_size(batch_size: int, microbatches: int, num_devices: int | None = None) -> None:
    """Raises UserError, with a size that works, when the batch does not divide over the devices.

    num_devices: all that there are, unless given.
    """
    devices = num_devices or jax.device_count()
    parts = devices * microbatches
    if batch_size % parts or batch_size < 1:
        over = f"{devices} devices" + (f" x {microbatches} microbatches" * (microbatches > 1))
        raise errors.UserError(
            f"batch_size ({batch_size}) must divide evenly over {over}; "
            f"try {max(batch_size // parts, 1) * parts}.",
            section="batch_size",
            value=batch_size,
        )
