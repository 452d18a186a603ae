"""Exponential moving averages of pytrees."""

import chex
import jax
import jax.numpy as jnp


def update(target: chex.ArrayTree, online: chex.ArrayTree, *, decay) -> chex.ArrayTree:
    """Moves `target` towards `online`: decay * target + (1 - decay) * online, leaf by leaf.

    Both trees have the same structure and shapes; decay is in [0, 1]: 0 copies `online`, 1
    leaves `target` as it is, both to the bit where all numbers are finite.
    """
    chex.assert_trees_all_equal_shapes(target, online)
    decay = jnp.asarray(decay, jnp.float32)

    def move(old, new):
        kept = decay.astype(new.dtype)
        return kept * old + (1 - kept) * new

    return jax.tree.map(move, target, online)


def cosine_decay(base: float, step: jax.Array, total_steps: int) -> jax.Array:
    """A decay that rises from `base` at step 0 to 1 at `total_steps`, along a half cosine.

    Float32 scalar 1 - (1 - base) * (cos(pi * step / total_steps) + 1) / 2 (Grill et al. 2020,
    section 3.2). Past total_steps it stays at 1.
    """
    progress = jnp.minimum(jnp.asarray(step, jnp.float32) / total_steps, 1.0)
    return 1.0 - (1.0 - base) * (jnp.cos(jnp.pi * progress) + 1.0) / 2.0
