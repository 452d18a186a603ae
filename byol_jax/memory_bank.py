"""The memory bank of instance discrimination: one feature row per training example."""

import chex
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jax.typing import ArrayLike, DTypeLike

from byol_jax import explicit, losses

__all__ = ["blend", "create", "read"]


def _row_specs(bank, index):
    """Returns the sharding of the output of `read`, which equals that of its index."""
    del bank
    return PartitionSpec(*explicit.spec(index), None)


def create(
    key: jax.Array, num_examples: int, dim: int, *, dtype: DTypeLike = jnp.float32
) -> jax.Array:
    """Creates a memory bank of random rows, uniform in ±sqrt(3 / dim).

    The rows have a length of about 1. This is the initialization of the authors' code (Wu et al.
    2018).

    Args:
        key: PRNG key.
        num_examples: Number of training examples.
        dim: Number of features D.
        dtype: A floating-point dtype.

    Returns:
        Array [num_examples, D].
    """
    limit = (3.0 / dim) ** 0.5
    rows = jax.random.uniform(key, (num_examples, dim), jnp.float32, minval=-limit, maxval=limit)
    return rows.astype(dtype)


@explicit.automatic(_row_specs)
def read(bank: ArrayLike, index: ArrayLike) -> jax.Array:
    """Reads the memory-bank rows of some examples.

    Args:
        bank: Memory bank [num_examples, D].
        index: Numbers of the examples, an integer array of any shape.

    Returns:
        The rows, of shape index.shape + [D].
    """
    bank = jnp.asarray(bank)
    chex.assert_rank(bank, 2)
    return bank[jnp.asarray(index)]


@explicit.automatic(lambda bank, *args, **kwargs: explicit.spec(bank))
def blend(
    bank: ArrayLike, index: ArrayLike, features: ArrayLike, *, decay: float | jax.Array
) -> jax.Array:
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
    bank = jnp.asarray(bank)
    index = jnp.asarray(index)
    features = jnp.asarray(features)
    chex.assert_rank([bank, index], [2, 1])
    num_examples, dim = bank.shape
    chex.assert_shape(features, (index.shape[0], dim))
    old = losses.at_least_float32(bank[index])
    old_share = jnp.asarray(decay, old.dtype)
    mixed = old_share * old + (1.0 - old_share) * features.astype(old.dtype)
    blended = losses.l2_normalize(mixed).astype(bank.dtype)
    # A scatter with repeated indices writes in no defined order: keep each one's last occurrence.
    order = jnp.arange(index.shape[0], dtype=jnp.int32)
    last = jnp.full((num_examples,), -1, jnp.int32).at[index].max(order)
    slots = jnp.where(last[index] == order, index, num_examples)  # mode="drop" ignores this slot
    return bank.at[slots].set(blended, mode="drop")
