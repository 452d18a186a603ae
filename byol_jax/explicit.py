"""Support for arrays whose sharding is part of their type: meshes with Explicit axes.

The functions of this package leave shardings to the compiler, as with Auto axes. The decorator
`automatic` makes them work on Explicit axes too, which are the default of jax.make_mesh.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.sharding import PartitionSpec

Function = TypeVar("Function", bound=Callable[..., Any])


def automatic(
    specs: Callable[..., Any],
) -> Callable[[Function], Function]:
    """Makes a decorator that runs a function with the mesh axes in Auto mode.

    Args:
        specs: A function of the decorated function's arguments, which returns the partition specs
            of the result, with the result's structure.

    Returns:
        The decorator. The decorated function is unchanged for arrays without Explicit axes.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args, **kwargs):
            leaves, structure = jax.tree.flatten((args, kwargs))
            arrays = {i: leaf for i, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)}
            mesh = _explicit_mesh(arrays.values())
            if mesh is None:
                return function(*args, **kwargs)

            def with_arrays(arrays):
                filled = [arrays.get(i, leaf) for i, leaf in enumerate(leaves)]
                args, kwargs = jax.tree.unflatten(structure, filled)
                return function(*args, **kwargs)

            out = jax.tree.map(
                lambda spec: jax.sharding.NamedSharding(mesh, spec),
                specs(*args, **kwargs),
                is_leaf=lambda x: isinstance(x, PartitionSpec),
            )
            return jax.sharding.auto_axes(with_arrays, out_sharding=out)(arrays)

        return call  # pyright: ignore[reportReturnType] (wraps keeps the signature)

    return decorate


def spec(x: Any, *, axes: int | None = None) -> PartitionSpec:
    """Returns how an array is split over the Explicit axes of its mesh.

    Args:
        x: The array; one that is not a JAX array is not split.
        axes: Number of the array's first axes that the result describes; None describes all.

    Returns:
        The partition spec.
    """
    if not isinstance(x, jax.Array):
        return PartitionSpec()
    return PartitionSpec(*jax.typeof(x).sharding.spec[:axes])


def _explicit_mesh(arrays):
    """Returns the mesh of the first array with Explicit axes, or None."""
    for array in arrays:
        mesh = jax.typeof(array).sharding.mesh
        if jax.sharding.AxisType.Explicit in getattr(mesh, "axis_types", ()):
            return mesh
    return None
