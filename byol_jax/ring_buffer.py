"""A first-in, first-out buffer of rows, such as MoCo's queue of negatives."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from byol_jax import errors, losses


class RingBuffer(NamedTuple):
    """A full first-in, first-out buffer of rows, as a pytree.

    Attributes:
        rows: The stored rows, [capacity, D]; `in_order` sorts them by age.
        cursor: Position of the oldest row, which the next push overwrites first; an int32 scalar.
    """

    rows: jax.Array
    cursor: jax.Array


def create(key: jax.Array, capacity: int, dim: int) -> RingBuffer:
    """Creates a buffer filled with random unit vectors, as MoCo starts its queue (He et al. 2020).

    Args:
        key: PRNG key.
        capacity: Number of rows.
        dim: Length D of a row.

    Returns:
        The buffer.
    """
    rows = losses.l2_normalize(jax.random.normal(key, (capacity, dim)))
    return RingBuffer(rows, jnp.int32(0))


def push(buffer: RingBuffer, rows: jax.Array) -> RingBuffer:
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
    chex.assert_shape(rows, (None, dim))
    num_rows = len(rows)
    if num_rows > capacity:
        raise errors.UserError(
            f"{num_rows} rows do not fit into a ring buffer with a capacity of {capacity}; "
            f"raise the capacity to {num_rows} or more, or push fewer rows."
        )
    slots = (buffer.cursor + jnp.arange(num_rows, dtype=jnp.int32)) % capacity
    cursor = (buffer.cursor + num_rows) % capacity
    return RingBuffer(buffer.rows.at[slots].set(rows, unique_indices=True), cursor)


def in_order(buffer: RingBuffer) -> jax.Array:
    """Returns the rows of a ring buffer from the oldest to the newest.

    Args:
        buffer: The buffer.

    Returns:
        Array [capacity, D].
    """
    return jnp.roll(buffer.rows, -buffer.cursor, axis=0)
