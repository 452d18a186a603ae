"""One optimizer step, as a pure function, and the one pmap of the repository."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from byol_jax import accumulate, collectives, metrics, probe, randomness
from byol_jax.methods import base
from byol_jax.train_state import TrainState

AXIS = "devices"


def make(
    method: base.Method,
    optimizer: optax.GradientTransformation,
    *,
    make_views: Callable,
    seed: int,
    microbatches: int = 1,
    online_probe: probe.Probe | None = None,
    axis_name: str | None = None,
) -> Callable:
    """The function step(state, batch) -> (state, metrics) for jit, pmap, vmap or shard_map.

    make_views(keys [B], images [B, H, W, C]) -> a tuple of views [B, h, w, C]. The batch has
    `image`, `index` and perhaps `label`, this device's B rows of each; the method must be made with
    the same axis_name. Metrics are float32 scalars over all devices: `loss`, `spread` and
    `feature_spread` (of the first view's projections and features), the method's own, and the
    online probe's where there is one and labels.
    """

    def step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, dict]:
        key = randomness.step_key(seed, state.step)
        view_key, forward_key, objective_key = jax.random.split(key, 3)
        row = collectives.row_index(len(batch["image"]), axis_name)
        batch = {**batch, "row": row}

        def forward(params, part, number):
            views = make_views(randomness.row_keys(view_key, part["row"]), part["image"])
            part_key = jax.random.fold_in(forward_key, number)
            return method.forward(params, state.stats, state.memory, views, part_key)

        def objective(outputs, part):
            return method.objective(outputs, state.memory, part, objective_key)

        result = accumulate.gradients(
            forward,
            objective,
            state.params,
            batch,
            microbatches=microbatches,
            coupled=method.coupled,
        )
        spread_of = {"spread": "projections", "feature_spread": "features"}
        measured = {"loss": jnp.mean(result.losses), **result.metrics}
        probe_grads = ()
        if online_probe is not None:
            features = result.outputs["features"][:, 0]
            probe_grads, more = probe.gradients(state.probe.params, features, batch["label"])
            measured.update(more)
        reduced = collectives.pmean((result.grads, probe_grads, result.stats, measured), axis_name)
        measured = reduced[-1] | {
            name: metrics.spread(result.outputs[of][:, 0], axis_name=axis_name)
            for name, of in spread_of.items()
        }
        return _advance(state, *reduced[:-1], result.kept), measured

    def _advance(state, grads, probe_grads, stats, kept):
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        memory = method.remember(state.memory, params, kept, state.step)
        moved = state.probe
        if online_probe is not None:
            moved = probe.advance(online_probe, state.probe, probe_grads)
        return TrainState(state.step + 1, params, stats, opt_state, memory, moved)

    return step


def parallel(step: Callable, *, devices: list[jax.Device] | None = None) -> Callable:
    """Runs a step made with axis_name=AXIS on all devices: batch leaves are [devices, B, ...].

    The state has no device axis: place it first, replicated, over the mesh of the same devices.
    It is donated: use the returned one.
    """
    return jax.pmap(
        step,
        axis_name=AXIS,
        in_axes=(None, 0),
        out_axes=(None, None),
        donate_argnums=0,
        devices=devices,
    )
