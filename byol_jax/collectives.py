"""Communication between devices, under pmap, vmap with an axis name, and shard_map.

Every function takes the name of a mapped device axis, or a tuple of names if the batch is split
over several axes of a mesh. If the name is None, the function treats the local arrays as the whole
batch and does not communicate.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from byol_jax import explicit

__all__ = [
    "AXIS",
    "AxisName",
    "all_gather",
    "axis_index",
    "axis_size",
    "is_mapped",
    "merge_stats",
    "pmean",
    "row_index",
    "shuffle",
    "unshuffle",
    "value_and_grad",
    "vary",
    "vary_alike",
]

AxisName = str | tuple[str, ...] | None

AXIS = "devices"  # the axis name of `train_step.parallel`

Tree = TypeVar("Tree")


def pmean(tree: Tree, axis_name: AxisName) -> Tree:
    """Averages every leaf of a pytree over the devices.

    To average gradients, use `value_and_grad`: under shard_map, jax.grad may already have summed
    them.

    Args:
        tree: Pytree of arrays.
        axis_name: Name of the mapped device axis; None returns the tree unchanged.

    Returns:
        Pytree of the same structure and shapes, equal on all devices.
    """
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def merge_stats(stats: Tree, axis_name: AxisName) -> Tree:
    """Averages the statistics of a network over the devices, and keeps integers.

    Args:
        stats: Pytree of arrays, such as batch-norm statistics.
        axis_name: Name of the mapped device axis; None returns the tree unchanged.

    Returns:
        Pytree of the same structure, shapes and dtypes, equal on all devices. An integer leaf, such
        as a count of updates, has the largest value of all devices.
    """
    if axis_name is None:
        return stats

    def merge(x):
        reduce = jax.lax.pmean if jnp.issubdtype(x.dtype, jnp.inexact) else jax.lax.pmax
        return reduce(x, axis_name)

    return jax.tree.map(merge, vary(stats, axis_name))


def all_gather(tree: Tree, axis_name: AxisName, *, replicated: bool = False) -> Tree:
    """Concatenates every leaf of a pytree over the devices, in device order.

    Args:
        tree: Pytree of arrays [B, ...].
        axis_name: Name of the mapped device axis; None returns the tree unchanged.
        replicated: True tells shard_map that the result is equal on all devices, so that it may
            become part of a replicated state, such as a queue. False is faster to differentiate.

    Returns:
        Pytree of arrays [N, ...], where N is B times the number of devices.
    """
    if axis_name is None:
        return tree
    checked = bool(_varying(jax.lax.axis_index(axis_name)))  # inside shard_map, check_vma=True
    to = "invarying" if replicated and checked else "varying"
    return jax.lax.all_gather(vary(tree, axis_name), axis_name, tiled=True, to=to)


def axis_index(axis_name: AxisName) -> jax.Array:
    """Returns the index of this device on a mapped device axis.

    Args:
        axis_name: Name of the mapped device axis; None gives 0.

    Returns:
        An int32 scalar from 0 to the number of devices - 1.
    """
    return jnp.int32(0) if axis_name is None else jax.lax.axis_index(axis_name).astype(jnp.int32)


def axis_size(axis_name: AxisName) -> int:
    """Returns the number of devices on a mapped device axis.

    Args:
        axis_name: Name of the mapped device axis; None gives 1.

    Returns:
        The number of devices.
    """
    return 1 if axis_name is None else jax.lax.axis_size(axis_name)


def is_mapped(axis_name: AxisName) -> bool:
    """Returns whether this call runs inside pmap, vmap or shard_map over an axis.

    Args:
        axis_name: Name of the axis; None gives False.

    Returns:
        True if the axis is mapped.
    """
    try:
        axis_size(axis_name)
    except NameError:
        return False
    return axis_name is not None


def row_index(num_rows: int, axis_name: AxisName) -> jax.Array:
    """Returns the positions of this device's examples in the global batch.

    Args:
        num_rows: Number of examples B on this device.
        axis_name: Name of the mapped device axis; None means that this is the only device.

    Returns:
        Positions int32 [B]; device d has those from d * B to (d + 1) * B - 1.
    """
    return axis_index(axis_name) * num_rows + jnp.arange(num_rows, dtype=jnp.int32)


@explicit.automatic(lambda x, *args: explicit.spec(x))
def shuffle(
    x: jax.typing.ArrayLike, permutation: jax.typing.ArrayLike, axis_name: AxisName
) -> jax.Array:
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
    x = jnp.asarray(x)
    start = axis_index(axis_name) * x.shape[0]
    own_rows = jax.lax.dynamic_slice_in_dim(jnp.asarray(permutation), start, x.shape[0])
    return jnp.take(all_gather(x, axis_name), own_rows, axis=0)


def unshuffle(
    x: jax.typing.ArrayLike, permutation: jax.typing.ArrayLike, axis_name: AxisName
) -> jax.Array:
    """Reverses `shuffle`: each row returns to its original device and position.

    Args:
        x: This device's rows in shuffled order, [B, ...].
        permutation: The permutation that `shuffle` applied, int [N].
        axis_name: Name of the mapped device axis; None means that this is the only device.

    Returns:
        Array [B, ...], in the order before the shuffle.
    """
    return shuffle(x, jnp.argsort(jnp.asarray(permutation)), axis_name)


def value_and_grad(
    function: Callable[..., Any], axis_name: AxisName, *, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """Differentiates the mean of a loss over all devices.

    The gradient is correct under pmap, vmap and shard_map, with check_vma True or False. The
    combination pmean(jax.grad(function)(...)) is not: with check_vma=True, jax.grad already sums
    the gradient of replicated parameters over the devices, and pmean does not divide that sum.

    Args:
        function: A function of parameters and other arguments. It returns the mean loss of this
            device's batch, a scalar.
        axis_name: Name of the mapped device axis; None computes on one device.
        has_aux: True if the function returns a pair of the loss and an auxiliary pytree.

    Returns:
        A function of the same arguments, which returns the loss and its gradient with respect to
        the first argument, both averaged over the devices. With has_aux, the first result is a pair
        of the average loss and this device's auxiliary pytree.
    """
    local = jax.value_and_grad(function, has_aux=has_aux)

    def differentiate(params, *args, **kwargs):
        value, grads = local(vary(params, axis_name), *args, **kwargs)
        grads = pmean(grads, axis_name)
        if has_aux:
            loss, aux = value
            return (pmean(vary(loss, axis_name), axis_name), aux), grads
        return pmean(vary(value, axis_name), axis_name), grads

    return differentiate


def vary(tree: Tree, axis_name: AxisName) -> Tree:
    """Marks arrays as different on each device, for the type check of shard_map (check_vma=True).

    The values do not change. The gradient of a marked array is that of this device's copy, and
    not the sum over devices. Outside of such a shard_map, nothing changes at all.

    Args:
        tree: Pytree of arrays.
        axis_name: Name of the mapped device axis; None returns the tree unchanged.

    Returns:
        The pytree with the same values.
    """
    if axis_name is None:
        return tree
    return jax.tree.map(lambda x: _vary_over(x, _varying(jax.lax.axis_index(axis_name))), tree)


def vary_alike(tree: Tree) -> Tree:
    """Marks all arrays of a pytree as varying over each mesh axis over which one of them varies.

    Loops and custom gradients require such arrays inside shard_map with check_vma=True. Elsewhere
    the arrays remain unchanged.

    Args:
        tree: Pytree of arrays.

    Returns:
        The pytree with the same values.
    """
    axes = frozenset[str]().union(*(_varying(x) for x in jax.tree.leaves(tree)))
    return jax.tree.map(lambda x: _vary_over(x, axes), tree)


def _varying(x) -> frozenset[str]:
    """Returns the mesh axes over which shard_map knows that an array varies."""
    return frozenset(jax.typeof(x).manual_axis_type.varying)


def _vary_over(x, axes: frozenset[str]):
    missing = axes - _varying(x)
    return jax.lax.pcast(x, tuple(sorted(missing)), to="varying") if missing else x
