"""One feature row per training example: the memory bank of instance discrimination."""

import chex
import jax
import jax.numpy as jnp

from byol_jax import losses


def create(key: jax.Array, num_examples: int, dim: int) -> jax.Array:
    """A bank [num_examples, dim], uniform in ±sqrt(3 / dim), so rows are about one long.

    The start of Wu et al. 2018's published code.
    """
    limit = (3.0 / dim) ** 0.5
    return jax.random.uniform(key, (num_examples, dim), minval=-limit, maxval=limit)


def read(bank: jax.Array, index: jax.Array) -> jax.Array:
    """The rows of the examples `index` (ints of any shape): [*index.shape, D]."""
    return bank[index]


def blend(bank: jax.Array, index: jax.Array, features: jax.Array, *, decay: float) -> jax.Array:
    """Moves the rows `index` [N] to normalize(decay * row + (1 - decay) * features [N, D]).

    All rows are read before any is written. Where an index comes twice, its last occurrence
    decides, on every platform (Wu et al. 2018, section 3.2, in the form of the published code).
    """
    chex.assert_rank(index, 1)
    chex.assert_shape(features, (len(index), bank.shape[1]))
    moved = losses.l2_normalize(decay * bank[index] + (1.0 - decay) * features)
    order = jnp.arange(len(index), dtype=jnp.int32)
    last = jnp.full((len(bank),), -1, jnp.int32).at[index].max(order)
    slots = jnp.where(last[index] == order, index, len(bank))  # a slot past the end is dropped
    return bank.at[slots].set(moved, mode="drop")
