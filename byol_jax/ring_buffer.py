"""A first-in, first-out buffer of rows: MoCo's queue of negatives."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from byol_jax import errors, losses


class RingBuffer(NamedTuple):
    """`rows` is [capacity, D]; `cursor`, an int32 scalar, is the next slot to overwrite."""

    rows: jax.Array
    cursor: jax.Array


def create(key: jax.Array, capacity: int, dim: int) -> RingBuffer:
    """A full buffer of random unit rows, as MoCo starts its queue (He et al. 2020)."""
    rows = losses.l2_normalize(jax.random.normal(key, (capacity, dim)))
    return RingBuffer(rows, jnp.int32(0))


def push(buffer: RingBuffer, rows: jax.Array) -> RingBuffer:
    """Overwrites the oldest rows by `rows` [N, D], wrapping at the end; N may not exceed capacity.

    Raises ValueError when more rows come than the buffer holds.
    """
    capacity, dim = buffer.rows.shape
    chex.assert_shape(rows, (None, dim))
    if len(rows) > capacity:
        raise errors.UserError(
            f"a push of {len(rows)} rows does not fit a buffer with a capacity of {capacity}; "
            f"raise the capacity to {len(rows)} or more, or push fewer rows."
        )
    slots = (buffer.cursor + jnp.arange(len(rows), dtype=jnp.int32)) % capacity
    cursor = (buffer.cursor + len(rows)) % capacity
    return RingBuffer(buffer.rows.at[slots].set(rows, unique_indices=True), cursor)


def in_order(buffer: RingBuffer) -> jax.Array:
    """The rows [capacity, D] from the oldest to the newest."""
    return jnp.roll(buffer.rows, -buffer.cursor, axis=0)
