"""One optimizer step, as a pure function, and the one pmap of the repository."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from byol_jax import accumulate, collectives, metrics, probe, randomness
from byol_jax.methods import base
from byol_jax.train_state import TrainState

AXIS = "devices"
SAMPLE = 256  # about so many rows tell effective rank, uniformity and alignment


def make(
    method: base.Method,
    optimizer: optax.GradientTransformation,
    *,
    make_views: Callable,
    seed: int,
    microbatches: int = 1,
    online_probe: probe.Probe | None = None,
    measures: Callable = lambda step: True,
    most_skipped: int = 0,
    axis_name: str | None = None,
) -> Callable:
    """The function step(state, batch) -> (state, metrics) for jit, pmap, vmap or shard_map.

    make_views(keys [B], images [B, H, W, C]) -> a tuple of views [B, h, w, C]. The batch has
    `image`, `index` and perhaps `label`, this device's B rows of each; the method must be made with
    the same axis_name.

    Metrics are float32 scalars over all devices: `loss`; `spread` and `feature_spread` of the first
    view's projections and features; `skipped`, 0 or 1; `effective_rank`, `uniformity`
    and, of two views, `alignment` of about SAMPLE projections; the method's own; and the online probe's where there is one and labels.
    measures(step) -> bool says after how many steps done those of a sample are due, as they cost a
    singular value decomposition; elsewhere they are nan.
    most_skipped: where the loss or a gradient is not finite, nothing moves but the step, as often
    as this in a row; after that nothing moves at all, so that the state stays to be looked at.
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
        measured = {"loss": jnp.mean(result.losses), **result.metrics}
        probe_grads = ()
        if online_probe is not None:
            features = result.outputs["features"][:, 0]
            probe_grads, more = probe.gradients(state.probe.params, features, batch["label"])
            measured.update(more)
        reduced = collectives.pmean((result.grads, probe_grads, result.stats, measured), axis_name)
        monitored = _monitor(result.outputs, measures(state.step + 1), axis_name)
        finite = _all_finite((reduced[0], reduced[-1]["loss"]))
        moved = _advance(state, *reduced[:-1], result.kept)
        told = {"skipped": 1.0 - finite.astype(jnp.float32), **reduced[-1], **monitored}
        return _settle(state, moved, finite, most_skipped), told

    def _advance(state, grads, probe_grads, stats, kept):
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        memory = method.remember(state.memory, params, kept, state.step)
        moved = state.probe
        if online_probe is not None:
            moved = probe.advance(online_probe, state.probe, probe_grads)
        return TrainState(state.step + 1, params, stats, opt_state, memory, moved, jnp.int32(0))

    return step


def _all_finite(tree) -> jax.Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)]))


def _settle(state: TrainState, moved: TrainState, finite, most_skipped) -> TrainState:
    """`moved` where all is finite; else the state as it was, but for its counts; see make."""
    halted = state.skipped > most_skipped
    still = (~halted).astype(jnp.int32)
    skipping = state._replace(step=state.step + still, skipped=state.skipped + still)
    takes = finite & ~halted
    return jax.tree.map(lambda new, old: jnp.where(takes, new, old), moved, skipping)


def _monitor(outputs, due, axis_name):
    """Whether the projections [B, V, D] and features [B, V, F] collapse, by name."""
    spread_of = {"spread": "projections", "feature_spread": "features"}
    spreads = {
        name: metrics.spread(outputs[of][:, 0], axis_name=axis_name)
        for name, of in spread_of.items()
    }
    projections = outputs["projections"]
    every = max(len(projections) * collectives.axis_size(axis_name) // SAMPLE, 1)

    def measure(sample):
        rows = collectives.all_gather(sample, axis_name)  # here, so that few steps wait for it
        found = {
            "effective_rank": metrics.effective_rank(rows[:, 0]),
            "uniformity": metrics.uniformity(rows[:, 0]),
        }
        if rows.shape[1] > 1:
            found["alignment"] = metrics.alignment(rows[:, 0], rows[:, 1])
        return found

    def skip(rows):
        return jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), jax.eval_shape(measure, rows))

    return spreads | jax.lax.cond(due, measure, skip, projections[::every])


def parallel(
    step: Callable, *, resident: bool = False, devices: list[jax.Device] | None = None
) -> Callable:
    """Runs a step made with axis_name=AXIS on all devices: batch leaves are [devices, B, ...].

    resident: step(state, batch, examples) then takes batches of `index` alone, and gathers the rest
        from examples, leaves [all, ...] on every device.

    State and examples have no device axis: place them first, replicated, over the mesh of the same
    devices. The state is donated: use the returned one.
    """

    def gathering(state, batch, examples):
        return step(state, {**jax.tree.map(lambda x: x[batch["index"]], examples), **batch})

    return jax.pmap(
        gathering if resident else step,
        axis_name=AXIS,
        in_axes=(None, 0, None) if resident else (None, 0),
        out_axes=(None, None),
        donate_argnums=0,
        devices=devices,
    )
