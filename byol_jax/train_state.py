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
    axis_name: str | None = None,
) -> TrainState:
    """The state before the first step.

    views: [B, H, W, C] each, which give the shapes; any B from 2. axis_name: that of the method; no
    such axis need exist here, since the state is the same with and without one.
    """
    key = randomness.init_key(seed)
    params, stats, memory = method.init(key, views)
    state = TrainState(jnp.int32(0), params, stats, optimizer.init(params), memory)
    if online_probe is not None:
        outputs = _outputs(method, params, stats, memory, views, key, axis_name)
        num_features = outputs["features"].shape[-1]
        state = state._replace(probe=probe.create(online_probe, num_features))
    return jax.tree.map(jnp.copy, state)  # a target shares params' arrays; donation wants its own


def _outputs(method, params, stats, memory, views, key, axis_name):
    """The shapes of what `forward` gives on one device of the axis."""

    def forward(views):
        outputs, _ = method.forward(params, stats, memory, views, key)
        return outputs

    if axis_name is None:
        return jax.eval_shape(forward, views)
    one_device = tuple(view[None] for view in views)
    return jax.eval_shape(jax.vmap(forward, axis_name=axis_name), one_device)
