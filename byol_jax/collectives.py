"""Communication between devices; every function is its one-device self when axis_name is None."""

import jax
import jax.numpy as jnp


def pmean(tree, axis_name: str | None):
    """The mean of every leaf over the devices of `axis_name`, with the leaves' shapes."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def all_gather(tree, axis_name: str | None):
    """Joins leaves [B, ...] of all devices, in device order, into [N, ...]; differentiable."""
    return tree if axis_name is None else jax.lax.all_gather(tree, axis_name, tiled=True)


def axis_index(axis_name: str | None) -> jax.Array:
    """The number of this device, an int32 scalar in [0, devices)."""
    return jnp.int32(0) if axis_name is None else jax.lax.axis_index(axis_name).astype(jnp.int32)


def axis_size(axis_name: str | None) -> int:
    """How many devices `axis_name` has."""
    return 1 if axis_name is None else jax.lax.axis_size(axis_name)


def row_index(num_rows: int, axis_name: str | None) -> jax.Array:
    """The global numbers, int32 [B], of this device's `num_rows` = B examples."""
    return axis_index(axis_name) * num_rows + jnp.arange(num_rows, dtype=jnp.int32)


def shuffle(x: jax.Array, permutation: jax.Array, axis_name: str | None) -> jax.Array:
    """Gives this device the rows permutation[d·B : (d+1)·B] of all devices' rows.

    x is [B, ...] and permutation is int [N], the same on all devices. MoCo (He et al. 2020,
    section 3.3) shuffles the keys so that a key and its query fall into different batch norms.
    """
    mine = jax.lax.dynamic_slice_in_dim(permutation, axis_index(axis_name) * x.shape[0], x.shape[0])
    return all_gather(x, axis_name)[mine]


def unshuffle(x: jax.Array, permutation: jax.Array, axis_name: str | None) -> jax.Array:
    """Undoes `shuffle` with the same permutation: x is [B, ...] in shuffled order."""
    return shuffle(x, jnp.argsort(permutation), axis_name)
