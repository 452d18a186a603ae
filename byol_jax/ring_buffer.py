"""A first-in, first-out buffer of rows, such as MoCo's queue of negatives."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jax.typing import ArrayLike, DTypeLike

from byol_jax import errors, explicit, losses

__all__ = ["RingBuffer", "create", "create_empty", "in_order", "push", "valid"]


class RingBuffer(NamedTuple):
    """A first-in, first-out buffer of rows, as a pytree.

    Attributes:
        rows: The stored rows, [capacity, D]; `in_order` sorts them by age.
        cursor: Position that the next push overwrites first, an int32 scalar. In a full buffer,
            this is the position of the oldest row.
        count: Number of valid rows, an int32 scalar, equal to the capacity once the buffer is full.
    """

    rows: jax.Array
    cursor: jax.Array
    count: jax.Array


def _buffer_specs(buffer: RingBuffer, *args, **kwargs) -> Any:
    del args, kwargs
    return buffer._replace(
        rows=explicit.spec(buffer.rows), cursor=PartitionSpec(), count=PartitionSpec()
    )


def create(
    key: jax.Array, capacity: int, dim: int, *, dtype: DTypeLike = jnp.float32
) -> RingBuffer:
    """Creates a buffer filled with random unit vectors, as MoCo starts its queue (He et al. 2020).

    Args:
        key: PRNG key.
        capacity: Number of rows.
        dim: Length D of a row.
        dtype: A floating-point dtype.

    Returns:
        The buffer, which counts as full.
    """
    rows = losses.l2_normalize(jax.random.normal(key, (capacity, dim), jnp.float32))
    return RingBuffer(rows.astype(dtype), jnp.int32(0), jnp.int32(capacity))


def create_empty(capacity: int, dim: int, *, dtype: DTypeLike = jnp.float32) -> RingBuffer:
    """Creates a buffer without valid rows.

    Args:
        capacity: Number of rows.
        dim: Length D of a row.
        dtype: Dtype of the rows.

    Returns:
        The buffer. Until it is full, pass `valid(buffer)` as the mask of the negatives.
    """
    return RingBuffer(jnp.zeros((capacity, dim), dtype), jnp.int32(0), jnp.int32(0))


@explicit.automatic(_buffer_specs)
def push(buffer: RingBuffer, rows: ArrayLike) -> RingBuffer:
    """Overwrites the oldest rows of a ring buffer with new rows.

    Args:
        buffer: The current buffer.
        rows: New rows, oldest first, [N, D]; N may not exceed the capacity, and need not divide it.

    Returns:
        The new buffer.

    Raises:
        UserError: If there are more new rows than the buffer can hold.
    """
    capacity, dim = buffer.rows.shape
    rows = jnp.asarray(rows, buffer.rows.dtype)
    chex.assert_shape(rows, (None, dim))
    num_rows = rows.shape[0]
    if num_rows > capacity:
        raise errors.UserError(
            f"{num_rows} rows do not fit into a ring buffer with a capacity of {capacity}; "
            f"raise the capacity to {num_rows} or more, or push fewer rows."
        )
    slots = (buffer.cursor + jnp.arange(num_rows, dtype=jnp.int32)) % capacity
    return RingBuffer(
        jnp.asarray(buffer.rows).at[slots].set(rows, unique_indices=True),
        (buffer.cursor + num_rows) % capacity,
        jnp.minimum(buffer.count + num_rows, capacity),
    )


def valid(buffer: RingBuffer) -> jax.Array:
    """Returns which rows of a ring buffer are valid: pushed, or filled at creation.

    Args:
        buffer: The buffer.

    Returns:
        A mask of `buffer.rows`, bool [capacity].
    """
    return jnp.arange(buffer.rows.shape[0], dtype=jnp.int32) < buffer.count


@explicit.automatic(lambda buffer: explicit.spec(buffer.rows))
def in_order(buffer: RingBuffer) -> jax.Array:
    """Returns the rows of a ring buffer from the oldest to the newest.

    Args:
        buffer: The buffer.

    Returns:
        Array [capacity, D]. In a buffer that is not full, the valid rows come last.
    """
    return jnp.roll(buffer.rows, -buffer.cursor, axis=0)
