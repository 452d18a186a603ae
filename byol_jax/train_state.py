"""Everything that training carries from step to step."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from byol_jax import probe, randomness
from byol_jax.methods import base


class TrainState(NamedTuple):
    """An immutable pytree; no key is in it, for keys are folded from the seed and the step.

    step: batches seen, an int32 scalar. skipped: how many of the last ones in a row did not move
    anything, because a number in them was not finite; int32. params, stats, memory: the method's
    (see methods.Method). probe: the online probe's state, () without one.
    """

    step: jax.Array
    params: chex.ArrayTree
    stats: chex.ArrayTree
    opt_state: optax.OptState
    memory: chex.ArrayTree
    probe: Any = ()
    skipped: Any = np.int32(0)


def create(
    method: base.Method,
    optimizer: optax.GradientTransformation,
    views: tuple[jax.Array, ...],
    *,
    seed: int,
    online_probe: probe.Probe | None = None,
) -> TrainState:
    """The state before the first step; `views` [B, H, W, C] each give the shapes, any B from 2."""
    key = randomness.init_key(seed)
    params, stats, memory = method.init(key, views)
    state = TrainState(jnp.int32(0), params, stats, optimizer.init(params), memory)
    if online_probe is not None:
        outputs, _ = jax.eval_shape(method.forward, params, stats, memory, views, key)
        num_features = outputs["features"].shape[-1]
        state = state._replace(probe=probe.create(online_probe, num_features))
    return jax.tree.map(jnp.copy, state)  # a target shares params' arrays; donation wants its own
