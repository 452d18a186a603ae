"""The program of one training run: open, resume, step, log, save, finish."""

import jax
import rich
from ml_collections import ConfigDict

from byol_jax import assemble, checkpoint, data, finish, inputs, report, run, runtime
from byol_jax.evaluation import table


def train(config: ConfigDict, workdir: str) -> dict[str, list[table.Row]]:
    """Trains from the newest checkpoint of workdir, or from the start, then finishes.

    Prints the results as a table and returns its rows; without labels there are none.
    """
    ready = run.prepare(config, workdir)
    is_writer = jax.process_index() == 0
    if is_writer:
        report.show(_facts(ready), _warnings(ready))
    with checkpoint.Checkpoints(ready.workdir, keep=config.keep_checkpoints) as checkpoints:
        state, start = ready.first, checkpoints.latest_step() or 0
        if start:
            state = checkpoints.restore(ready.first)
            rich.print(f"resuming from step {start}")
        state = _steps(ready, state, start, checkpoints, is_writer)
        checkpoints.wait()
        return finish.finish(ready, jax.device_get(state), checkpoints) if is_writer else {}


def _steps(ready, state, start, checkpoints, is_writer):
    """Takes the steps from `start` on, logging and saving as the config says."""
    config, total = ready.config, ready.parts.total_steps

    logs = assemble.logs(config, total)
    step = assemble.step(config, ready.parts, ready.inputs)
    examples = [runtime.replicate(ready.source.examples)] if ready.inputs.resident else []
    log = report.Log(
        ready.workdir,
        batch_size=config.batch_size,
        total_steps=total,
        steps_per_epoch=ready.parts.steps_per_epoch,
        schedules=ready.parts.schedules,
        start_step=start,
        tensorboard=config.tensorboard,
        silent=not is_writer,
    )
    state, metrics = runtime.replicate(state), ()
    coming = inputs.batches(ready.inputs, config, ready.source, start_step=start)
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


def _facts(ready) -> dict[str, str]:
    """The start-up summary."""
    config, parts, devices = ready.config, ready.parts, jax.device_count()
    schedule = config.schedule
    mask = report.leaves_text(ready.first.params, parts.mask(ready.first.params))
    adapted = " and adapted" if config.optimizer.name == "lars" else ""
    facts = {
        "method": f"{config.method.name}, encoder {config.encoder.name}, seed {config.seed}",
        "data": f"{config.data.name} {config.data.train_split}: {len(ready.source):,} images of "
        + (
            "any size"
            if ready.source.sizes_differ
            else " x ".join(map(str, ready.source.image_shape))
        )
        + (f", {ready.source.num_classes} classes" if ready.source.num_classes else ", no labels"),
        "batch": f"{config.batch_size} = {devices} {jax.devices()[0].platform} devices x "
        f"{config.batch_size // devices}, in {config.microbatches} microbatches",
        "steps": f"{parts.total_steps:,} = {config.epochs:g} epochs x {parts.steps_per_epoch}",
        "learning rate": f"{parts.peak_learning_rate:g} at its peak = {schedule.learning_rate:g} "
        f"scaled {schedule.get('scaling', 'linear')}; {schedule.name}",
        "optimizer": f"{config.optimizer.name}; decayed{adapted}: {mask}",
        "workdir": str(ready.workdir),
    }
    if hasattr(ready.first.memory, "queue"):
        capacity = len(ready.first.memory.queue.rows)
        facts["queue"] = f"{capacity:,} keys, {capacity / len(ready.source):.1%} of the data"
    return facts


def _warnings(ready) -> list[str]:
    capacity = len(ready.first.memory.queue.rows) if hasattr(ready.first.memory, "queue") else 0
    if capacity <= len(ready.source):
        return []
    warning = (
        f"the queue (method.capacity {capacity}) is larger than the data set ({len(ready.source)}): "
        "it holds older keys of the very images; choose a capacity well below the data set's size."
    )
    return [warning]
