"""The train step: one optimizer step as a pure function, and its compilation for all devices."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax.sharding import PartitionSpec

from byol_jax import accumulate, collectives, errors, metrics, pickling, probe, randomness
from byol_jax.methods import base
from byol_jax.train_state import TrainState

AXIS = collectives.AXIS
SAMPLE = 256  # approximate number of rows for effective rank, uniformity and alignment


class MakeViews(Protocol):
    """A function that augments a batch of images into views."""

    def __call__(self, keys: jax.Array, images: jax.Array, /) -> tuple[jax.Array, ...]:
        """Draws the views of every image.

        Args:
            keys: PRNG keys, one for each image, [B].
            images: Images [B, H, W, C], as the batch contains them.

        Returns:
            V batches [B, h, w, C], one for each view.
        """
        ...


class Step(Protocol):
    """A pure function that performs one optimizer step."""

    def __call__(
        self, state: TrainState, batch: dict[str, Any]
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """Performs one optimizer step.

        Args:
            state: The current state.
            batch: Arrays of this device's B examples: `image` [B, H, W, C], `index` int [B], the
                examples' numbers in the data set, and `label` int [B] if the method or the online
                probe needs labels.

        Returns:
            The next state, and metrics of the global batch by name, float32 scalars:

            - `loss`: The mean loss.
            - `skipped`: 1 if the loss or a gradient is not finite, else 0.
            - `spread` and `feature_spread`: `metrics.spread` of the first view's projections and
              features.
            - `effective_rank`, `uniformity`, and `alignment` if there are several views: measures
              of about SAMPLE projections; nan at steps that do not compute them.
            - `probe_loss` and `probe_accuracy`, if there is an online probe.
            - The method's own metrics.
        """
        ...


class ParallelStep(Protocol):
    """A compiled train step that runs on all devices; it donates the state."""

    def __call__(
        self, state: TrainState, batch: dict[str, Any], examples: Any = ..., /
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """Performs one optimizer step on all devices.

        Args:
            state: The current state, replicated over the devices. Its buffers are donated, so that
                only the returned state is valid afterwards.
            batch: As in `Step`, with leaves [devices, B, ...]; only `index` if the data set is
                resident.
            examples: The resident data set, leaves [num_examples, ...], replicated over the
                devices. Required if the step was built with resident=True, and absent otherwise.

        Returns:
            The next state and the metrics, as in `Step`, without a device axis.
        """
        ...

    def lower(self, *args: Any) -> Any:
        """Traces and lowers the train step for given arguments, without running it.

        Args:
            *args: Arguments of a call, or their shapes (jax.ShapeDtypeStruct).

        Returns:
            The lowered step; its `compile` method compiles it.
        """
        ...


class _Reduced(NamedTuple):
    """The results of each device for its part of the batch, to be averaged over all devices."""

    grads: dict[str, Any]
    probe_grads: Any
    stats: dict[str, Any]
    metrics: dict[str, jax.Array]


@pickling.picklable
def make(
    method: base.Method,
    optimizer: optax.GradientTransformation,
    *,
    make_views: MakeViews,
    seed: int,
    microbatches: int = 1,
    online_probe: probe.Probe | None = None,
    measures: Callable[[jax.Array], Any] = lambda step: True,
    most_skipped: int = 0,
    axis_name: collectives.AxisName = None,
) -> Step:
    """Builds the train step of a self-supervised method.

    Args:
        method: The method, made with the same axis_name.
        optimizer: Optimizer of the method's parameters.
        make_views: Augments images into views.
        seed: The run's seed; views and shuffles derive from it.
        microbatches: Number of parts in which the batch passes through the networks.
        online_probe: Settings of an online probe; None trains none.
        measures: Function that decides whether a step computes effective rank, uniformity and
            alignment, which take a singular value decomposition. Its argument is the number of
            steps, this one included, an int32 scalar.
        most_skipped: Largest number of consecutive steps to skip. A step whose loss or gradient is
            not finite changes only `step` and `skipped` of the state. After one more in a row,
            every further step returns the state unchanged, so that it can be inspected.
        axis_name: Name of the mapped device axis; None computes on one device.

    Returns:
        A pure function for jit, pmap, vmap or shard_map.

    Raises:
        UserError: If the method was made with another axis_name.
    """
    if method.axis_name != axis_name:
        raise errors.UserError(
            f"the method has axis_name {method.axis_name!r}, but the step has {axis_name!r}; give "
            "both the same one. If you wrote the method yourself, pass axis_name to Method."
        )

    def step(state, batch):
        row = collectives.row_index(len(batch["image"]), axis_name)
        batch = {**batch, "row": row}
        key = randomness.step_key(seed, state.step)
        # The gradient of this device's copy of the parameters, not the sum over all devices.
        local_state = state._replace(
            params=collectives.vary(state.params, axis_name),
            probe=collectives.vary(state.probe, axis_name),
        )
        result = _differentiate(method, make_views, local_state, batch, key, microbatches)
        local = _local_results(online_probe, local_state.probe, result, batch)
        # Average before the optimizer: all devices then apply the same update, and their copies of
        # the state remain equal. The check below sees a non-finite value of any device.
        reduced = collectives.pmean(local._replace(stats={}), axis_name)
        reduced = reduced._replace(stats=collectives.merge_stats(local.stats, axis_name))
        monitored = _monitor(result.outputs, measures(state.step + 1), axis_name)
        finite = _all_finite((reduced.grads, reduced.metrics["loss"]))
        skipped = 1.0 - finite.astype(jnp.float32)
        next_state = _advance(method, optimizer, online_probe, state, reduced, result.memory_inputs)
        next_state = _accept(state, next_state, finite, most_skipped)
        return next_state, {"skipped": skipped, **reduced.metrics, **monitored}

    # `parallel` reads this attribute, to refuse a step of another axis.
    setattr(step, "axis_name", axis_name)  # noqa: B010 (type checkers refuse an assignment)
    return step


def _differentiate(method, make_views, state, batch, key, microbatches) -> accumulate.Result:
    """Computes the gradient of the loss on this device's part of the batch."""
    view_key, forward_key, objective_key = jax.random.split(key, 3)

    def forward(params, part, number):
        # Augment here, so that only one microbatch's views are in memory. A key belongs to a row of
        # the global batch: views depend on neither the microbatches nor the number of devices.
        views = make_views(randomness.row_keys(view_key, part["row"]), part["image"])
        part_key = jax.random.fold_in(forward_key, number)
        return method.forward(params, state.stats, state.memory, views, part_key)

    def objective(params, outputs, part):
        return method.objective(params, outputs, state.memory, part, objective_key, state.step)

    return accumulate.gradients(
        forward,
        objective,
        state.params,
        batch,
        microbatches=microbatches,
        coupled=method.coupled,
    )


def _local_results(online_probe, probe_state, result: accumulate.Result, batch) -> _Reduced:
    """Collects this device's gradients, statistics and metrics, before averaging over devices."""
    probe_grads = ()
    probe_metrics = {}
    if online_probe is not None:
        first_view = result.outputs["features"][:, 0]
        probe_grads, probe_metrics = probe.gradients(probe_state.params, first_view, batch["label"])
    batch_metrics = {"loss": jnp.mean(result.losses), **result.metrics, **probe_metrics}
    return _Reduced(result.grads, probe_grads, result.stats, batch_metrics)


def _advance(
    method: base.Method,
    optimizer: optax.GradientTransformation,
    online_probe: probe.Probe | None,
    state: TrainState,
    reduced: _Reduced,
    memory_inputs: Any,
) -> TrainState:
    """Updates parameters, memory and online probe, without a check for non-finite values."""
    updates, opt_state = optimizer.update(reduced.grads, state.opt_state, state.params)
    params: Any = optax.apply_updates(state.params, updates)
    # After the optimizer: a target network follows the new parameters.
    memory = method.update_memory(state.memory, params, memory_inputs, state.step)
    probe_state = state.probe
    if online_probe is not None:
        probe_state = probe.advance(online_probe, state.probe, reduced.probe_grads)
    return TrainState(
        step=state.step + 1,
        params=params,
        stats=reduced.stats,
        opt_state=opt_state,
        memory=memory,
        probe=probe_state,
        skipped=jnp.int32(0),
    )


def _all_finite(tree) -> jax.Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)]))


def _accept(state: TrainState, next_state: TrainState, finite, most_skipped) -> TrainState:
    """Returns the next state if all values are finite, else the old state with higher step counts.

    After more than most_skipped non-finite steps in a row, it always returns the old state.
    """
    halted = state.skipped > most_skipped
    count = (~halted).astype(jnp.int32)
    skipping = state._replace(step=state.step + count, skipped=state.skipped + count)
    accepted = finite & ~halted
    return jax.tree.map(lambda new, old: jnp.where(accepted, new, old), next_state, skipping)


def _monitor(outputs, due, axis_name) -> dict[str, jax.Array]:
    """Measures whether projections [B, V, D] and features [B, V, F] collapse."""
    projections = outputs["projections"]
    features = outputs["features"]
    spreads = {
        "spread": metrics.spread(projections[:, 0], axis_name=axis_name),
        "feature_spread": metrics.spread(features[:, 0], axis_name=axis_name),
    }
    num_rows = len(projections) * collectives.axis_size(axis_name)
    stride = max(num_rows // SAMPLE, 1)

    def measure(sample):
        # Gather inside the branch, so that steps without these measures do not communicate.
        rows = collectives.all_gather(sample, axis_name, replicated=True)
        sample_metrics = {
            "effective_rank": metrics.effective_rank(rows[:, 0]),
            "uniformity": metrics.uniformity(rows[:, 0]),
        }
        if rows.shape[1] > 1:
            sample_metrics["alignment"] = metrics.alignment(rows[:, 0], rows[:, 1])
        return sample_metrics

    def skip(rows):
        shapes = jax.eval_shape(measure, rows)
        return jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), shapes)

    return spreads | jax.lax.cond(due, measure, skip, projections[::stride])


def parallel(
    step: Step,
    *,
    resident: bool = False,
    devices: Sequence[Any] | None = None,
    backend: str = "pmap",
) -> ParallelStep:
    """Compiles a train step for all devices.

    Before the first call, replicate the state, and the examples if resident, over a mesh of the
    same devices. Neither has a device axis.

    Args:
        step: A step that `make` made with axis_name=AXIS.
        resident: True if the data set is in the devices' memory. The parallel step then takes it as
            its third argument, and its batches contain only `index`.
        devices: JAX devices; None uses all.
        backend: "pmap", or "shard_map", which gives the same results in a single process.

    Returns:
        The parallel step.

    Raises:
        UserError: If the step has another axis_name, if the backend is unknown, or if shard_map is
            to run in several processes.
    """
    axis_name = getattr(step, "axis_name", AXIS)
    if axis_name != AXIS:
        raise errors.UserError(
            f"train_step.parallel needs a step with axis_name={AXIS!r}, not {axis_name!r}; pass it "
            "to train_step.make, to the method, and to the batch norms."
        )
    if backend not in _BACKENDS:
        names = ", ".join(_BACKENDS)
        raise errors.UserError(f"unknown backend {backend!r}; choose one of {names}.")

    def gathering(state, batch, examples):
        gathered = jax.tree.map(lambda x: x[batch["index"]], examples)
        return step(state, {**gathered, **batch})

    return _BACKENDS[backend](gathering if resident else step, resident, devices)


def _with_pmap(step, resident, devices):
    return jax.pmap(
        step,
        axis_name=AXIS,
        in_axes=(None, 0, None) if resident else (None, 0),
        out_axes=(None, None),
        donate_argnums=0,  # the state: the next state reuses its buffers
        devices=devices,
    )


def _with_shard_map(step, resident, devices):
    if jax.process_count() > 1:
        raise errors.UserError("the backend shard_map runs in one process; use the backend pmap.")
    mesh = jax.sharding.Mesh(jax.devices() if devices is None else devices, AXIS)
    split = PartitionSpec(AXIS)
    whole = PartitionSpec()

    def on_device(state, batch, *examples):
        return step(state, jax.tree.map(lambda x: x[0], batch), *examples)

    mapped = jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(whole, split, whole) if resident else (whole, split),
        out_specs=whole,
        check_vma=False,  # the same program as pmap's, and so the same rounding
    )
    return jax.jit(mapped, donate_argnums=0)


_BACKENDS = {"pmap": _with_pmap, "shard_map": _with_shard_map}
