"""Exponential moving averages of parameters."""

from typing import TypeVar

import chex
import jax
import jax.numpy as jnp

Tree = TypeVar("Tree")


def update(target: Tree, online: Tree, *, decay: float | jax.Array) -> Tree:
    """Moves target parameters towards online parameters: decay * target + (1 - decay) * online.

    A decay of 0 returns exactly `online`, and a decay of 1 exactly `target`, if all values are
    finite.

    Args:
        target: Pytree of arrays, such as the parameters of BYOL's target network.
        online: Pytree of the same structure and shapes.
        decay: Share of `target` that remains, in [0, 1]; a number or a scalar array.

    Returns:
        Pytree of the same structure, shapes and dtypes.
    """
    chex.assert_trees_all_equal_shapes(target, online)
    decay = jnp.asarray(decay, jnp.float32)

    def move(old, new):
        weight = decay.astype(new.dtype)
        return weight * old + (1 - weight) * new

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
