"""The steps of a run, logged and saved as the config says, until the last or until told to stop."""

import json

import jax
import numpy as np

from byol_jax import checkpoint, data, errors, hosts, monitor, workdir
from byol_jax.builders import inputs, step
from byol_jax.system import devices
from byol_jax.train_state import TrainState
from byol_jax.training import start


class Preempted(Exception):
    """The run was told to stop; its state of this step is saved."""

    def __init__(self, step: int, total: int):
        super().__init__(
            f"stopped at step {step} of {total} as requested; run the same command to resume."
        )


class NotFinite(errors.UserError, FloatingPointError):
    """The loss or a gradient stayed not finite for more steps than config.most_skipped."""


def steps(
    experiment: start.Experiment,
    state: TrainState,
    checkpoints: checkpoint.Checkpoints,
    *,
    is_writer: bool,
) -> TrainState:
    """The state after the last step, which is saved; `state` is on the host.

    Raises Preempted when told to stop, NotFinite where numbers stay not finite, OSError
    when the last save fails.
    """
    config, total = experiment.config, experiment.parts.total_steps
    first_step = int(state.step)
    is_logged = step.logs(config, total)
    take_step = step.parallel_step(config, experiment.parts, experiment.inputs)
    source = experiment.source
    examples = [devices.replicate(source.examples)] if experiment.inputs.resident else []
    guard = _Guard(experiment, int(state.skipped))
    state = devices.replicate(state)
    metrics, batch = {}, {}
    host_batches = inputs.batches(experiment.inputs, config, source, start_step=first_step)
    with (
        data.Prefetch(host_batches, devices.shard) as batches,
        _log(experiment, first_step, is_writer) as log,
        hosts.Notice() as notice,
    ):
        for done in range(first_step + 1, total + 1):
            previous = metrics, batch
            batch = batches.next(metrics)
            state, metrics = take_step(state, batch, *examples)
            # The step above has only been dispatched: waiting for the one before it keeps the host
            # one step ahead of the devices, not more.
            guard.check(done - 1, *previous, state, log)
            log.at(done)
            log.flush()
            if is_logged(done):
                log(done, metrics, waited=batches.waited)
            stops = notice.reached()
            if stops or done % config.checkpoint_every_steps == 0 or done == total:
                # A state that must not be saved shows only when its step is done.
                guard.check(done, metrics, batch, state, log)
                log.flush()
                _save(checkpoints, done, state, log, must=stops or done == total)
            if stops and done < total:
                raise Preempted(done, total)
    return state


def _log(experiment: start.Experiment, first_step: int, is_writer: bool) -> monitor.Log:
    return monitor.Log(
        experiment.workdir,
        batch_size=experiment.config.batch_size,
        total_steps=experiment.parts.total_steps,
        steps_per_epoch=experiment.parts.steps_per_epoch,
        schedules=experiment.parts.schedules,
        start_step=first_step,
        tensorboard=experiment.config.tensorboard,
        silent=not is_writer,
    )


def _save(checkpoints, done, state, log, *, must):
    """Saves the state. A failure, often a full disk, is only a warning unless the save `must` be."""
    try:
        checkpoints.save(done, state)
        if must:
            checkpoints.wait()
    except OSError as error:
        if must:
            raise
        log.alert(f"at step {done}: {error} Training goes on, and tries again at the next save.")


class _Guard:
    """Watches for steps whose numbers were not finite, which have moved nothing."""

    def __init__(self, experiment: start.Experiment, in_a_row: int):
        self._most = experiment.config.most_skipped
        self._in_a_row = in_a_row
        self._folder = experiment.workdir / workdir.NOT_FINITE
        self._checked = 0

    def check(self, done, metrics, batch, state, log) -> None:
        """Waits for the metrics of a step; raises NotFinite for one too many in a row."""
        if not metrics or done == self._checked:
            return
        self._checked = done
        if not float(metrics["skipped"]):
            self._in_a_row = 0
            return
        self._in_a_row += 1
        what = f"the loss ({float(metrics['loss']):g}) or a gradient is not finite at step {done}"
        if self._in_a_row <= self._most:
            log.alert(f"{what}: skipped, {self._in_a_row} of {self._most} in a row.")
            return
        self._keep(done, batch, state)
        raise NotFinite(
            f"{what}. The state before it and the indices of its images are in {self._folder}. Lower "
            "schedule.learning_rate or lengthen its warm-up; most_skipped lets a run pass over some."
        )

    def _keep(self, done, batch, state):
        self._folder.mkdir(exist_ok=True)
        name = f"step_{done}_process_{jax.process_index()}"
        index = np.asarray(batch["index"]).ravel().tolist()
        text = json.dumps({"step": done, "index": index})
        (self._folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        if jax.process_index() == 0:
            np.savez(self._folder / f"{name}.npz", **checkpoint.flat(jax.device_get(state)))
