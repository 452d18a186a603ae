"""The training state: everything that changes from step to step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from byol_jax import collectives, probe, randomness
from byol_jax.methods import base


class TrainState(NamedTuple):
    """Everything that training carries from step to step, an immutable pytree.

    The state contains no PRNG key; each step derives its keys from the seed and the step number.

    Attributes:
        step: Number of batches seen, an int32 scalar.
        params: Parameters of the networks by network name; the optimizer updates them.
        stats: Batch-norm statistics of all networks.
        opt_state: State of the optimizer.
        memory: State that no gradient reaches, such as a target network or a queue; see
            methods.Method.
        probe: A probe.ProbeState, or () without an online probe.
        skipped: Number of consecutive steps up to this one that changed nothing because the loss or
            a gradient was not finite, an int32 scalar.
    """

    step: jax.Array
    params: dict[str, Any]
    stats: dict[str, Any]
    opt_state: Any
    memory: Any
    probe: Any = ()
    skipped: Any = np.int32(0)


def create(
    method: base.Method,
    optimizer: optax.GradientTransformation,
    views: tuple[jax.Array, ...],
    *,
    seed: int,
    online_probe: probe.Probe | None = None,
    axis_name: collectives.AxisName = None,
) -> TrainState:
    """Creates the training state before the first step.

    Args:
        method: The self-supervised method.
        optimizer: Optimizer of the method's parameters.
        views: Example views, V batches [B, h, w, C] with B >= 2; only their shapes and dtypes
            matter.
        seed: The run's seed, which determines the initial parameters.
        online_probe: Settings of an online probe; None trains none.
        axis_name: The axis name that the method was made with. No such axis needs to exist in this
            call, and the state does not depend on it.

    Returns:
        The state, without a device axis.
    """
    key = randomness.init_key(seed)
    params, stats, memory = method.init(key, views)
    state = TrainState(jnp.int32(0), params, stats, optimizer.init(params), memory)
    if online_probe is not None:
        outputs = _output_shapes(method, params, stats, memory, views, key, axis_name)
        num_features = outputs["features"].shape[-1]
        state = state._replace(probe=probe.create(online_probe, num_features))
    # A new target network shares the arrays of params. Each leaf needs its own buffer, since the
    # train step donates the state.
    return jax.tree.map(jnp.copy, state)


def _output_shapes(method, params, stats, memory, views, key, axis_name):
    """Returns the shapes of the outputs of `method.forward` on one device."""

    def forward(views):
        outputs, _ = method.forward(params, stats, memory, views, key)
        return outputs

    if axis_name is None:
        return jax.eval_shape(forward, views)
    one_device = tuple(view[None] for view in views)
    return jax.eval_shape(jax.vmap(forward, axis_name=axis_name), one_device)
