"""Communication between devices.

Every function takes the name of a mapped device axis. If the name is None, the function treats the
local arrays as the whole batch and does not communicate.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp

Tree = TypeVar("Tree")


def pmean(tree: Tree, axis_name: str | None) -> Tree:
    """Averages every leaf of a pytree over the devices.

    Args:
        tree: Pytree of arrays.
        axis_name: Name of the mapped device axis; None returns the tree unchanged.

    Returns:
        Pytree of the same structure and shapes, equal on all devices.
    """
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def all_gather(tree: Tree, axis_name: str | None) -> Tree:
    """Concatenates every leaf of a pytree over the devices, in device order; differentiable.

    Args:
        tree: Pytree of arrays [B, ...].
        axis_name: Name of the mapped device axis; None returns the tree unchanged.

    Returns:
        Pytree of arrays [N, ...], where N is B times the number of devices.
    """
    return tree if axis_name is None else jax.lax.all_gather(tree, axis_name, tiled=True)


def axis_index(axis_name: str | None) -> jax.Array:
    """Returns the index of this device on a mapped device axis.

    Args:
        axis_name: Name of the mapped device axis; None gives 0.

    Returns:
        An int32 scalar from 0 to the number of devices - 1.
    """
    return jnp.int32(0) if axis_name is None else jax.lax.axis_index(axis_name).astype(jnp.int32)


def axis_size(axis_name: str | None) -> int:
    """Returns the number of devices on a mapped device axis.

    Args:
        axis_name: Name of the mapped device axis; None gives 1.

    Returns:
        The number of devices.
    """
    return 1 if axis_name is None else jax.lax.axis_size(axis_name)


def row_index(num_rows: int, axis_name: str | None) -> jax.Array:
    """Returns the positions of this device's examples in the global batch.

    Args:
        num_rows: Number of examples B on this device.
        axis_name: Name of the mapped device axis; None means that this is the only device.

    Returns:
        Positions int32 [B]; device d has those from d * B to (d + 1) * B - 1.
    """
    return axis_index(axis_name) * num_rows + jnp.arange(num_rows, dtype=jnp.int32)


def shuffle(x: jax.Array, permutation: jax.Array, axis_name: str | None) -> jax.Array:
    """Permutes the rows of the global batch across devices, and returns this device's share.

    Device d receives the rows permutation[d * B : (d + 1) * B] of the global batch. MoCo shuffles
    the keys so that a key and its query enter different batch norms (He et al. 2020, section 3.3).

    Args:
        x: This device's rows, [B, ...].
        permutation: Permutation of the global batch, int [N], the same on all devices.
        axis_name: Name of the mapped device axis; None means that this is the only device.

    Returns:
        Array [B, ...].
    """
    start = axis_index(axis_name) * x.shape[0]
    own_rows = jax.lax.dynamic_slice_in_dim(permutation, start, x.shape[0])
    return all_gather(x, axis_name)[own_rows]


def unshuffle(x: jax.Array, permutation: jax.Array, axis_name: str | None) -> jax.Array:
    """Reverses `shuffle`: each row returns to its original device and position.

    Args:
        x: This device's rows in shuffled order, [B, ...].
        permutation: The permutation that `shuffle` applied, int [N].
        axis_name: Name of the mapped device axis; None means that this is the only device.

    Returns:
        Array [B, ...], in the order before the shuffle.
    """
    return shuffle(x, jnp.argsort(permutation), axis_name)
