"""Everything that training carries from step to step."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from byol_jax import randomness
from byol_jax.methods import base


class TrainState(NamedTuple):
    """An immutable pytree; no key is in it, for keys are folded from the seed and the step.

    step: updates done, an int32 scalar. params, stats, memory: the method's (see methods.Method).
    """

    step: jax.Array
    params: chex.ArrayTree
    stats: chex.ArrayTree
    opt_state: optax.OptState
    memory: chex.ArrayTree


def create(
    method: base.Method,
    optimizer: optax.GradientTransformation,
    views: tuple[jax.Array, ...],
    *,
    seed: int,
) -> TrainState:
    """The state before the first step; `views` [B, H, W, C] each give the shapes, any B from 2."""
    params, stats, memory = method.init(randomness.init_key(seed), views)
    state = TrainState(jnp.int32(0), params, stats, optimizer.init(params), memory)
    return jax.tree.map(
        jnp.copy, state
    )  # a target shares arrays with params; none may be donated twice
