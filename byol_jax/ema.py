"""Exponential moving averages of parameters."""

from typing import TypeVar

import chex
import jax
import jax.numpy as jnp

__all__ = ["cosine_decay", "update"]

Tree = TypeVar("Tree")


def update(target: Tree, online: Tree, *, decay: float | jax.Array) -> Tree:
    """Moves target parameters towards online parameters: decay * target + (1 - decay) * online.

    The average is computed in float32, or in float64 if a leaf is float64. A decay of 0 returns
    exactly `online`, and a decay of 1 exactly `target`, if all values are finite.

    Args:
        target: Pytree of arrays, such as the parameters of BYOL's target network.
        online: Pytree of the same structure and shapes.
        decay: Share of `target` that remains, in [0, 1]; a number or a scalar array.

    Returns:
        Pytree of the same structure and shapes, with the dtypes of `target`. Leaves that are not
        floating-point numbers, such as counters, are those of `online`.
    """
    chex.assert_trees_all_equal_shapes(target, online)

    def move(old, new):
        old = jnp.asarray(old)
        new = jnp.asarray(new)
        if not jnp.issubdtype(old.dtype, jnp.inexact):
            return new.astype(old.dtype)
        wide = jnp.float64 if jnp.float64 in (old.dtype, new.dtype) else jnp.float32
        weight = jnp.asarray(decay).astype(wide)
        return (weight * old.astype(wide) + (1 - weight) * new.astype(wide)).astype(old.dtype)

    return jax.tree.map(move, target, online)


def cosine_decay(base: float, step: jax.Array | int, total_steps: int) -> jax.Array:
    """Computes a decay that rises from `base` to 1 along a half cosine.

    The decay is 1 - (1 - base) * (cos(pi * step / total_steps) + 1) / 2 (Grill et al. 2020,
    section 3.2). It remains 1 after `total_steps`.

    Args:
        base: Decay at step 0, in [0, 1].
        step: Number of optimizer steps before this one, a number or a scalar array.
        total_steps: Step at which the decay reaches 1.

    Returns:
        The decay, a float32 scalar.
    """
    progress = jnp.minimum(jnp.asarray(step, jnp.float32) / total_steps, 1.0)
    return 1.0 - (1.0 - base) * (jnp.cos(jnp.pi * progress) + 1.0) / 2.0
