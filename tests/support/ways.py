"""Ways in which users call a function in their own JAX code, and what each must give.

A case is a function of arrays. Its batch arguments are split over the devices; the others are equal
on all devices. Every way gives the value and the gradients of the function's weighted sum over the
global batch, to be compared with those of one device.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from byol_jax import collectives

DEVICES = 4
AXIS = "x"
SPLIT = PartitionSpec(AXIS)
WHOLE = PartitionSpec()


class Case(NamedTuple):
    """A function, its arguments, and what it returns.

    Attributes:
        call: The function, called as call(axis_name, *arguments); axis_name is None on one device.
        batch: The arguments whose first axis is the batch.
        whole: The arguments that are equal on all devices.
        split: True if the result's first axis is the batch, False if all devices return the same.
        gradient: False if the function has no gradient: only its value is compared.
        float64: False if the function takes only float32 arrays, also with jax_enable_x64.
    """

    call: Callable[..., Any]
    batch: tuple[Any, ...] = ()
    whole: tuple[Any, ...] = ()
    split: bool = True
    gradient: bool = True
    float64: bool = True


def _is_float(x):
    return jnp.issubdtype(jnp.asarray(x).dtype, jnp.floating)


def _weights(x):
    """Returns fixed weights that differ by element, so that no error cancels in the sum."""
    return jnp.cos(jnp.arange(x.size, dtype=jnp.float32)).reshape(x.shape).astype(x.dtype)


def _weighted_sum(out, weights):
    leaves = [x for x in jax.tree.leaves(out) if _is_float(x)]
    return sum(jnp.sum(x * w) for x, w in zip(leaves, weights, strict=True))


def _differentiate(case: Case, call, arguments, weights, axis_name=None):
    """Returns the value, and the gradients with respect to all floating-point arguments."""
    out = call(axis_name, *arguments)
    if not case.gradient:
        return out, ()
    arguments = collectives.vary(tuple(arguments), axis_name)
    floats = tuple(i for i, x in enumerate(arguments) if _is_float(x))
    share = 1 if case.split else collectives.axis_size(axis_name)

    def total(*values):
        changed = dict(zip(floats, values, strict=True))
        mixed = [changed.get(i, x) for i, x in enumerate(arguments)]
        result = collectives.vary(call(axis_name, *mixed), axis_name)
        return _weighted_sum(result, weights) / share

    grads = jax.grad(total, argnums=tuple(range(len(floats))))(*(arguments[i] for i in floats))
    # All devices use the whole arguments, so that their gradient is a sum over the devices.
    return out, tuple(
        g if i < len(case.batch) or axis_name is None else jax.lax.psum(g, axis_name)
        for i, g in zip(floats, grads, strict=True)
    )


def _all_weights(case: Case):
    out = jax.eval_shape(lambda *xs: case.call(None, *xs), *case.batch, *case.whole)
    return [_weights(x) for x in jax.tree.leaves(out) if jnp.issubdtype(x.dtype, jnp.floating)]


def one_device(case: Case):
    """Returns the value and the gradients on one device: the reference of all ways."""
    return _differentiate(case, case.call, (*case.batch, *case.whole), _all_weights(case))


def jit(case: Case):
    """Calls the function under jit on one device."""
    return jax.jit(lambda *xs: _differentiate(case, case.call, xs, _all_weights(case)))(
        *case.batch, *case.whole
    )


def _on_mesh(axis_types, names=(AXIS,), sizes=(DEVICES,)):
    return jax.make_mesh(
        sizes, names, axis_types=(axis_types,) * len(names), devices=jax.devices()[:DEVICES]
    )


def _shard_map(case: Case, *, check_vma, mesh=None, axis_name: Any = AXIS):
    mesh = mesh or _on_mesh(AxisType.Auto)
    split = PartitionSpec(axis_name)
    weight_specs = split if case.split else WHOLE
    floats = [
        split if i < len(case.batch) else WHOLE
        for i, x in enumerate((*case.batch, *case.whole))
        if _is_float(x)
    ]

    def local(weights, *arguments):
        return _differentiate(case, case.call, arguments, weights, axis_name)

    mapped = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(weight_specs, *(split for _ in case.batch), *(WHOLE for _ in case.whole)),
        out_specs=(split if case.split else WHOLE, tuple(floats) if case.gradient else ()),
        check_vma=check_vma,
    )
    return jax.jit(mapped)(_all_weights(case), *case.batch, *case.whole)


def shard_map_checked(case: Case):
    """Calls the function under shard_map with check_vma=True, the default."""
    return _shard_map(case, check_vma=True)


def shard_map_unchecked(case: Case):
    """Calls the function under shard_map with check_vma=False."""
    return _shard_map(case, check_vma=False)


def mesh_2d(case: Case):
    """Calls the function under shard_map, with a tuple of the axis names of a 2 x 2 mesh."""
    mesh = _on_mesh(AxisType.Auto, ("x", "y"), (2, 2))
    return _shard_map(case, check_vma=True, mesh=mesh, axis_name=("x", "y"))


def _mapped(case: Case, transform):
    def cut(x):
        x = jnp.asarray(x)
        return x.reshape(DEVICES, -1, *x.shape[1:])

    def join(x):
        return x.reshape(-1, *x.shape[2:])

    def local(_, weights, *arguments):
        return _differentiate(case, case.call, arguments, weights, AXIS)

    axes = (0, 0 if case.split else None, *(0 for _ in case.batch), *(None for _ in case.whole))
    weights = _all_weights(case)
    out, grads = transform(local, axes)(
        jnp.arange(DEVICES),  # so that an argument is mapped, if the function has no batch
        jax.tree.map(cut, weights) if case.split else weights,
        *map(cut, case.batch),
        *case.whole,
    )
    out = jax.tree.map(join if case.split else lambda x: x[0], out)
    floats = [i for i, x in enumerate((*case.batch, *case.whole)) if _is_float(x)]
    if case.gradient:
        grads = tuple(
            join(g) if i < len(case.batch) else g[0] for i, g in zip(floats, grads, strict=True)
        )
    return out, grads


def pmap(case: Case):
    """Calls the function under pmap."""
    return _mapped(case, lambda f, axes: jax.pmap(f, axis_name=AXIS, in_axes=axes))


def vmap(case: Case):
    """Calls the function under vmap with an axis name."""
    return _mapped(case, lambda f, axes: jax.jit(jax.vmap(f, axis_name=AXIS, in_axes=axes)))


def _sharded_jit(case: Case, axis_type):
    mesh = _on_mesh(axis_type)
    weights = _all_weights(case)
    with jax.set_mesh(mesh):
        batch = [jax.device_put(x, NamedSharding(mesh, SPLIT)) for x in case.batch]
        whole = [jax.device_put(x, NamedSharding(mesh, WHOLE)) for x in case.whole]
        placed = NamedSharding(mesh, SPLIT if case.split else WHOLE)
        weights = [jax.device_put(w, placed) for w in weights]

        def run(weights, *xs):
            return _differentiate(case, case.call, xs, weights)

        return jax.device_get(jax.jit(run)(weights, *batch, *whole))


def sharded_jit_auto(case: Case):
    """Calls the function under plain jit on arrays that are sharded over Auto axes."""
    return _sharded_jit(case, AxisType.Auto)


def sharded_jit_explicit(case: Case):
    """Calls the function under plain jit on arrays that are sharded over Explicit axes."""
    return _sharded_jit(case, AxisType.Explicit)


def jvp(case: Case):
    """Computes the gradients by forward-mode differentiation, one direction per argument."""
    arguments = (*case.batch, *case.whole)
    weights = _all_weights(case)
    out = case.call(None, *arguments)
    if not case.gradient:
        return out, ()
    reference = one_device(case)[1]
    grads = []
    floats = [i for i, x in enumerate(arguments) if _is_float(x)]
    for number, i in enumerate(floats):

        def total(x, i=i):
            return _weighted_sum(case.call(None, *arguments[:i], x, *arguments[i + 1 :]), weights)

        direction = _weights(arguments[i])
        _, slope = jax.jvp(total, (arguments[i],), (direction,))
        # The reference, corrected so that its component in this direction is the slope.
        expected = reference[number]
        error = slope - jnp.sum(expected * direction)
        grads.append(expected + direction * error / jnp.sum(direction * direction))
    return out, tuple(grads)


def scan(case: Case):
    """Calls the function in the body of lax.scan."""

    def run(*xs):
        def body(carry, _):
            return carry, _differentiate(case, case.call, xs, _all_weights(case))

        _, results = jax.lax.scan(body, 0, None, length=2)
        return jax.tree.map(lambda x: x[1], results)

    return jax.jit(run)(*case.batch, *case.whole)


def remat(case: Case):
    """Calls the function under jax.checkpoint."""

    def call(axis_name, *xs):
        return jax.checkpoint(lambda *ys: case.call(axis_name, *ys))(*xs)

    arguments = (*case.batch, *case.whole)
    return jax.jit(lambda *xs: _differentiate(case, call, xs, _all_weights(case)))(*arguments)


def export(case: Case):
    """Exports the function with jax.export, and calls the exported program."""
    arguments = tuple(map(jnp.asarray, (*case.batch, *case.whole)))
    run = jax.jit(lambda *xs: _differentiate(case, case.call, xs, _all_weights(case)))
    structure = jax.tree.structure(jax.eval_shape(run, *arguments))
    flat = jax.jit(lambda *xs: jax.tree.leaves(run(*xs)))
    return jax.tree.unflatten(structure, jax.export.export(flat)(*arguments).call(*arguments))


def x64(case: Case):
    """Calls the function on float64 arrays with jax_enable_x64."""
    with jax.enable_x64(True):
        wide = [
            np.asarray(x, np.float64) if case.float64 and _is_float(x) else x
            for x in (*case.batch, *case.whole)
        ]
        wide = [jnp.asarray(x) for x in wide]
        case = case._replace(
            batch=tuple(wide[: len(case.batch)]), whole=tuple(wide[len(case.batch) :])
        )
        return jax.device_get(jit(case))


def debug_checks(case: Case):
    """Calls the function under JAX's checks for nan, infinity, leaked tracers and promotions."""
    with (
        jax.debug_nans(True),
        jax.debug_infs(True),
        jax.checking_leaks(),
        jax.numpy_dtype_promotion("strict"),
    ):
        return jit(case)


WAYS = {
    "jit": jit,
    "pmap": pmap,
    "vmap": vmap,
    "shard_map": shard_map_checked,
    "shard_map unchecked": shard_map_unchecked,
    "sharded jit, Auto": sharded_jit_auto,
    "sharded jit, Explicit": sharded_jit_explicit,
    "two mesh axes": mesh_2d,
    "jvp": jvp,
    "scan": scan,
    "remat": remat,
    "export": export,
    "x64": x64,
    "debug checks": debug_checks,
}
