"""The memory bank of instance discrimination: one feature row per training example."""

import chex
import jax
import jax.numpy as jnp

from byol_jax import losses


def create(key: jax.Array, num_examples: int, dim: int) -> jax.Array:
    """Creates a memory bank of random rows, uniform in ±sqrt(3 / dim).

    The rows have a length of about 1. This is the initialization of the authors' code (Wu et al.
    2018).

    Args:
        key: PRNG key.
        num_examples: Number of training examples.
        dim: Number of features D.

    Returns:
        Array [num_examples, D].
    """
    limit = (3.0 / dim) ** 0.5
    return jax.random.uniform(key, (num_examples, dim), minval=-limit, maxval=limit)


def read(bank: jax.Array, index: jax.Array) -> jax.Array:
    """Reads the memory-bank rows of some examples.

    Args:
        bank: Memory bank [num_examples, D].
        index: Numbers of the examples, an integer array of any shape.

    Returns:
        The rows, of shape index.shape + [D].
    """
    return bank[index]


def blend(bank: jax.Array, index: jax.Array, features: jax.Array, *, decay: float) -> jax.Array:
    """Updates memory-bank rows to normalize(decay * row + (1 - decay) * features).

    This is the update of the authors' code (Wu et al. 2018, section 3.2). Every row is read before
    any is written. If an example occurs twice in `index`, its last occurrence determines the row,
    on every platform.

    Args:
        bank: Memory bank [num_examples, D].
        index: Numbers of the examples, int [N].
        features: New features of these examples, [N, D].
        decay: Share of the old row, in [0, 1].

    Returns:
        The updated memory bank.
    """
    chex.assert_rank(index, 1)
    chex.assert_shape(features, (len(index), bank.shape[1]))
    blended = losses.l2_normalize(decay * bank[index] + (1.0 - decay) * features)
    # A scatter with repeated indices writes in no defined order: keep each one's last occurrence.
    order = jnp.arange(len(index), dtype=jnp.int32)
    last = jnp.full((len(bank),), -1, jnp.int32).at[index].max(order)
    slots = jnp.where(last[index] == order, index, len(bank))  # mode="drop" ignores this slot
    return bank.at[slots].set(blended, mode="drop")
