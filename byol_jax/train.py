"""The program of one training run: open, resume, step, log, save, evaluate."""

from pathlib import Path
from typing import NamedTuple

import jax
import rich
from ml_collections import ConfigDict

from byol_jax import (
    assemble,
    build,
    checkpoint,
    data,
    inputs,
    report,
    runtime,
    train_state,
    train_step,
)
from byol_jax import config as fields
from byol_jax import evaluate as evaluation_run
from byol_jax.evaluation import table


class Run(NamedTuple):
    """An experiment that is ready to go: its parts, its data, and its first state, on the host.

    test: the test split, None where nothing will be evaluated.  inputs: the way of the images.
    """

    config: ConfigDict
    workdir: Path
    parts: build.Parts
    source: data.Source
    test: data.Source | None
    first: train_state.TrainState
    inputs: inputs.Inputs


def prepare_run(config: ConfigDict, workdir: str) -> Run:
    """Checks the config against the data, the devices and the workdir, and builds what it names.

    Raises ValueError, saying what to change, before anything is written.
    """
    runtime.check_batch_size(config.batch_size, config.microbatches)
    source = _open(config, config.data.train_split)
    way = inputs.choose(config, source)
    parts = assemble.parts(config, source, way, axis_name=train_step.AXIS)
    evaluates = source.num_classes is not None and config.evaluate.protocols
    test = _open(config, config.data.test_split) if evaluates else None
    if test is not None:
        assert test.image_shape  # raises, before training, where evaluation wants a size
    workdir = Path(workdir).expanduser().absolute()
    if jax.process_index() == 0:
        workdir.mkdir(parents=True, exist_ok=True)
        checkpoint.check_same_experiment(workdir, config.to_dict(), free=fields.FREE)
    first = jax.device_get(jax.jit(assemble.first_state(config, source, way))())
    return Run(config, workdir, parts, source, test, first, way)


def _open(config, split):
    return data.open_source(
        config.data.name, split, data_dir=config.data.data_dir, image_size=config.data.image_size
    )


def train(config: ConfigDict, workdir: str) -> dict[str, list[table.Row]]:
    """Trains from the newest checkpoint of workdir, or from the start, then evaluates.

    Prints the results as a table and returns its rows; without labels there are none.
    """
    run = prepare_run(config, workdir)
    is_writer = jax.process_index() == 0
    if is_writer:
        report.show(_facts(run), _warnings(run))
    with checkpoint.Checkpoints(run.workdir, keep=config.keep_checkpoints) as checkpoints:
        state, start = run.first, checkpoints.latest_step() or 0
        if start:
            state = checkpoints.restore(run.first)
            rich.print(f"resuming from step {start}")
        state = _steps(run, state, start, checkpoints, is_writer)
    if not is_writer or run.test is None:
        return {}
    return _evaluate(run, jax.device_get(state))


def evaluate(config: ConfigDict, workdir: str) -> dict[str, list[table.Row]]:
    """Evaluates the newest checkpoint of workdir as `train` does at its end.

    Raises ValueError where the data has no labels, or the config no protocols.
    """
    run = prepare_run(config, workdir)
    run.source.require_labels()
    if run.test is None:
        raise ValueError("evaluate.protocols is empty; name some, such as ('knn', 'linear').")
    with checkpoint.Checkpoints(run.workdir, keep=config.keep_checkpoints) as checkpoints:
        state = checkpoints.restore(run.first)
    return _evaluate(run, state)


def _evaluate(run, state):
    states = {"learned": state, "untrained": run.first}
    rows = evaluation_run.evaluate(
        run.config, run.workdir, run.parts, (run.source, run.test), states
    )
    rich.print(table.table(rows))
    return rows


def _steps(run, state, start, checkpoints, is_writer):
    """Takes the steps from `start` on, logging and saving as the config says."""
    config, total = run.config, run.parts.total_steps

    logs = assemble.logs(config, total)
    step = assemble.step(config, run.parts, run.inputs)
    examples = [runtime.replicate(run.source.examples)] if run.inputs.resident else []
    log = report.Log(
        run.workdir,
        batch_size=config.batch_size,
        total_steps=total,
        steps_per_epoch=run.parts.steps_per_epoch,
        learning_rate=run.parts.schedule,
        start_step=start,
        tensorboard=config.tensorboard,
        silent=not is_writer,
    )
    state, metrics = runtime.replicate(state), ()
    coming = inputs.batches(run.inputs, config, run.source, start_step=start)
    with data.Prefetch(coming, runtime.shard) as batches, log:
        for done in range(start + 1, total + 1):
            batch, before = batches.next(metrics), metrics
            state, metrics = step(state, batch, *examples)
            jax.block_until_ready(before)  # the host stays one step ahead, not more
            log.flush()
            if logs(done):
                log(done, metrics, waited=batches.waited)
            if done % config.checkpoint_every_steps == 0 or done == total:
                log.flush()  # so that no checkpoint is of a loss that is not finite
                checkpoints.save(done, state)
    return state


def _facts(run) -> dict[str, str]:
    """The start-up summary."""
    config, parts, devices = run.config, run.parts, jax.device_count()
    schedule = config.schedule
    mask = report.leaves_text(run.first.params, parts.mask(run.first.params))
    adapted = " and adapted" if config.optimizer.name == "lars" else ""
    facts = {
        "method": f"{config.method.name}, encoder {config.encoder.name}, seed {config.seed}",
        "data": f"{config.data.name} {config.data.train_split}: {len(run.source):,} images of "
        + ("any size" if run.source.sizes_differ else " x ".join(map(str, run.source.image_shape)))
        + (f", {run.source.num_classes} classes" if run.source.num_classes else ", no labels"),
        "batch": f"{config.batch_size} = {devices} {jax.devices()[0].platform} devices x "
        f"{config.batch_size // devices}, in {config.microbatches} microbatches",
        "steps": f"{parts.total_steps:,} = {config.epochs:g} epochs x {parts.steps_per_epoch}",
        "learning rate": f"{parts.peak_learning_rate:g} at its peak = {schedule.learning_rate:g} "
        f"scaled {schedule.get('scaling', 'linear')}; {schedule.name}",
        "optimizer": f"{config.optimizer.name}; decayed{adapted}: {mask}",
        "workdir": str(run.workdir),
    }
    if hasattr(run.first.memory, "queue"):
        capacity = len(run.first.memory.queue.rows)
        facts["queue"] = f"{capacity:,} keys, {capacity / len(run.source):.1%} of the data"
    return facts


def _warnings(run) -> list[str]:
    capacity = len(run.first.memory.queue.rows) if hasattr(run.first.memory, "queue") else 0
    if capacity <= len(run.source):
        return []
    warning = (
        f"the queue (method.capacity {capacity}) is larger than the data set ({len(run.source)}): "
        "it holds older keys of the very images; choose a capacity well below the data set's size."
    )
    return [warning]
