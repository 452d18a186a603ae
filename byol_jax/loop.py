"""The steps of a run, logged and saved as the config says, until the last or until told to stop."""

import json

import jax
import numpy as np

from byol_jax import assemble, checkpoint, data, hosts, inputs, report, run, runtime
from byol_jax.train_state import TrainState


class Preempted(Exception):
    """The run was told to stop; its state of this step is saved."""

    def __init__(self, step: int, total: int):
        super().__init__(
            f"told to stop; step {step} of {total} is saved, and the same command goes on from there."
        )


def steps(
    ready: run.Run, state: TrainState, checkpoints: checkpoint.Checkpoints, *, is_writer: bool
) -> TrainState:
    """The state after the last step, which is saved; `state` is on the host.

    Raises Preempted when told to stop, FloatingPointError where numbers stay not finite, OSError
    when the last save fails.
    """
    config, total = ready.config, ready.parts.total_steps
    start, logs = int(state.step), assemble.logs(config, total)
    step = assemble.step(config, ready.parts, ready.inputs)
    examples = [runtime.replicate(ready.source.examples)] if ready.inputs.resident else []
    guard = _Guard(ready, int(state.skipped))
    state, metrics, batch = runtime.replicate(state), {}, {}
    coming = inputs.batches(ready.inputs, config, ready.source, start_step=start)
    with (
        data.Prefetch(coming, runtime.shard) as batches,
        _log(ready, start, is_writer) as log,
        hosts.Notice() as notice,
    ):
        for done in range(start + 1, total + 1):
            before, batch = (metrics, batch), batches.next(metrics)
            state, metrics = step(state, batch, *examples)
            guard.check(done - 1, *before, state, log)  # the host stays one step ahead, not more
            log.at(done)
            log.flush()
            if logs(done):
                log(done, metrics, waited=batches.waited)
            told = notice.reached()
            if told or done % config.checkpoint_every_steps == 0 or done == total:
                guard.check(done, metrics, batch, state, log)
                log.flush()
                _save(checkpoints, done, state, log, must=told or done == total)
            if told and done < total:
                raise Preempted(done, total)
    return state


def _log(ready, start, is_writer) -> report.Log:
    return report.Log(
        ready.workdir,
        batch_size=ready.config.batch_size,
        total_steps=ready.parts.total_steps,
        steps_per_epoch=ready.parts.steps_per_epoch,
        schedules=ready.parts.schedules,
        start_step=start,
        tensorboard=ready.config.tensorboard,
        silent=not is_writer,
    )


def _save(checkpoints, step, state, log, *, must):
    """A save that fails, often since the disk is full, is told; the next may do better."""
    try:
        checkpoints.save(step, state)
        if must:
            checkpoints.wait()
    except OSError as error:
        if must:
            raise
        log.alert(f"at step {step}: {error} Training goes on, and tries again at the next save.")


class _Guard:
    """Watches for steps whose numbers were not finite, which have moved nothing."""

    def __init__(self, ready: run.Run, in_a_row: int):
        self._most, self._in_a_row = ready.config.most_skipped, in_a_row
        self._folder, self._checked = ready.workdir / "not_finite", 0

    def check(self, step, metrics, batch, state, log) -> None:
        """Waits for the metrics of a step; raises FloatingPointError for one too many in a row."""
        if not metrics or step == self._checked:
            return
        self._checked = step
        if not float(metrics["skipped"]):
            self._in_a_row = 0
            return
        self._in_a_row += 1
        what = f"the loss ({float(metrics['loss']):g}) or a gradient is not finite at step {step}"
        if self._in_a_row <= self._most:
            log.alert(f"{what}: skipped, {self._in_a_row} of {self._most} in a row.")
            return
        self._keep(step, batch, state)
        raise FloatingPointError(
            f"{what}. The state before it and the indices of its images are in {self._folder}. Lower "
            "schedule.learning_rate or lengthen its warm-up; most_skipped lets a run pass over some."
        )

    def _keep(self, step, batch, state):
        self._folder.mkdir(exist_ok=True)
        name = f"step_{step}_process_{jax.process_index()}"
        index = np.asarray(batch["index"]).ravel().tolist()
        text = json.dumps({"step": step, "index": index})
        (self._folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        if jax.process_index() == 0:
            np.savez(self._folder / f"{name}.npz", **checkpoint.flat(jax.device_get(state)))
