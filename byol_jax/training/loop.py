"""The training loop: performs the steps of a run, logs them and saves checkpoints."""

import concurrent.futures
import json
from typing import Any

import jax
import numpy as np

from byol_jax import checkpoint, data, errors, hosts, monitor, train_step, workdir
from byol_jax.builders import inputs, step
from byol_jax.system import devices
from byol_jax.train_state import TrainState
from byol_jax.training import start


class Preempted(Exception):
    """The run was asked to stop early, and its state has been saved.

    Args:
        step: Number of steps done.
        total: Number of steps of the whole run.
    """

    def __init__(self, step: int, total: int):
        super().__init__(
            f"stopped after step {step} of {total} as requested; the state is saved. Run the same "
            "command to resume."
        )


class NotFinite(errors.UserError, FloatingPointError):
    """The loss or a gradient was not finite for more consecutive steps than most_skipped allows."""


def steps(
    experiment: start.Experiment,
    state: TrainState,
    checkpoints: checkpoint.Checkpoints,
    *,
    is_writer: bool,
) -> TrainState:
    """Runs the remaining training steps, writes the log, and saves checkpoints.

    Args:
        experiment: The experiment.
        state: The state to start from, on the host.
        checkpoints: Where to save states.
        is_writer: True on the process that writes the log.

    Returns:
        The last state, with one copy on each device of this process.

    Raises:
        Preempted: If the run is asked to stop early; its state is saved.
        NotFinite: If the loss or a gradient is not finite in too many steps in a row.
        OSError: If the last state cannot be saved.
    """
    config = experiment.config
    total = experiment.parts.total_steps
    first_step = int(state.step)
    is_logged = step.logs(config, total)
    take_step = step.parallel_step(config, experiment.parts, experiment.inputs)
    guard = _Guard(experiment, int(state.skipped))
    state = devices.replicate(state)
    examples = _place_examples(experiment, take_step, state)
    metrics = {}
    batch = {}
    with (
        _open_batches(experiment, first_step) as batches,
        _open_log(experiment, first_step, is_writer) as log,
        hosts.Notice() as notice,
    ):
        for done in range(first_step + 1, total + 1):
            previous = (metrics, batch)
            batch = batches.next(metrics)
            state, metrics = take_step(state, batch, *examples)
            # Wait for the previous step, so that the host is one step ahead of the devices.
            guard.check(done - 1, *previous, state, log)
            log.at(done)
            # The metrics kept in the log belong to an earlier step; this does not wait.
            log.flush()
            if is_logged(done):
                log(done, metrics, waited=batches.waited)
            # All processes must ask at every step, so that they stop at the same step.
            stops = notice.reached()
            if stops or done % config.checkpoint_every_steps == 0 or done == total:
                # Wait for this step: its state must not be saved if the guard stops the run.
                guard.check(done, metrics, batch, state, log)
                log.flush()
                _save(checkpoints, done, state, log, required=stops or done == total)
            if stops and done < total:
                raise Preempted(done, total)
    return state


def _place_examples(
    experiment: start.Experiment, take_step: train_step.ParallelStep, state: TrainState
) -> list[Any]:
    """Returns the data set, if it is in device memory, as an extra argument of the train step.

    A thread reads the data set while this one compiles the train step, whose first call then finds
    the program. In a run of several processes the first call compiles.
    """
    source = experiment.source
    if not experiment.inputs.resident:
        return []
    with concurrent.futures.ThreadPoolExecutor(1, "read") as reader:
        reading = reader.submit(lambda: source.examples)
        if jax.process_count() == 1:
            sides = jax.device_count(), experiment.config.batch_size // jax.device_count()
            batch = {"index": jax.ShapeDtypeStruct(sides, "int32", sharding=devices.sharded())}
            examples = inputs.shapes(experiment.inputs, source, len(source))
            examples = devices.outline(examples, devices.replicated())
            take_step.lower(state, batch, examples).compile()
        return [devices.replicate(reading.result())]


def _open_batches(experiment: start.Experiment, first_step: int) -> data.Prefetch:
    batches = inputs.batches(
        experiment.inputs, experiment.config, experiment.source, start_step=first_step
    )
    return data.Prefetch(batches, devices.shard)


def _open_log(experiment: start.Experiment, first_step: int, is_writer: bool) -> monitor.Log:
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


def _save(
    checkpoints: checkpoint.Checkpoints,
    done: int,
    state: TrainState,
    log: monitor.Log,
    *,
    required: bool,
) -> None:
    """Saves a state; if saving fails, only warns, unless `required` is set."""
    try:
        checkpoints.save(done, state)
        if required:
            checkpoints.wait()
    except OSError as error:
        if required:
            raise
        log.alert(f"at step {done}: {error} Training continues and tries again at the next save.")


class _Guard:
    """Detects steps with a loss or gradient that is not finite; after too many, it stops the run.

    The train step itself skips the update in such a step.
    """

    def __init__(self, experiment: start.Experiment, num_skipped: int):
        self._most_skipped = experiment.config.most_skipped
        self._num_skipped = num_skipped  # in a row
        self._folder = experiment.workdir / workdir.NOT_FINITE
        self._checked = 0

    def check(
        self,
        done: int,
        metrics: dict[str, jax.Array],
        batch: dict[str, Any],
        state: TrainState,
        log: monitor.Log,
    ) -> None:
        """Waits until a step is complete and checks that its loss and gradients were finite.

        Args:
            done: Number of the step, from 1.
            metrics: Metrics of the step; empty before the first step.
            batch: The batch of the step.
            state: The state after this step or a later one. If the run stops, it equals the state
                before this step, because the train step no longer updates anything.
            log: Receives a warning about a skipped step.

        Raises:
            NotFinite: If too many steps in a row were skipped.
        """
        if not metrics or done == self._checked:
            return
        self._checked = done
        if not float(metrics["skipped"]):
            self._num_skipped = 0
            return
        self._num_skipped += 1
        loss = float(metrics["loss"])
        problem = f"the loss ({loss:g}) or a gradient is not finite at step {done}"
        if self._num_skipped <= self._most_skipped:
            log.alert(
                f"{problem}. The step is skipped: {self._num_skipped} in a row, at most "
                f"{self._most_skipped} allowed."
            )
            return
        self._save_evidence(done, batch, state)
        raise NotFinite(
            f"{problem}. The state before this step and the indices of its images are in "
            f"{self._folder}. Lower schedule.learning_rate, lengthen its warm-up, or raise "
            "most_skipped to allow more skipped steps."
        )

    def _save_evidence(self, done: int, batch: dict[str, Any], state: TrainState) -> None:
        self._folder.mkdir(exist_ok=True)
        name = f"step_{done}_process_{jax.process_index()}"
        index = np.asarray(batch["index"]).ravel().tolist()
        text = json.dumps({"step": done, "index": index})
        (self._folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        if jax.process_index() == 0:
            np.savez(self._folder / f"{name}.npz", **checkpoint.flat(jax.device_get(state)))
