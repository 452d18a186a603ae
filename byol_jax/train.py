"""The program of one training run: open, resume, take the steps, finish."""

import json
from importlib import metadata

import jax
from ml_collections import ConfigDict

from byol_jax import checkpoint, finish, hosts, loop, report, run, runtime
from byol_jax.evaluation import table


def command(
    config: ConfigDict,
    workdir: str,
    *,
    place: tuple[str | None, int | None, int | None],
    several: bool,
    timeout: int,
) -> int:
    """Trains, as one of several processes if so; gives the exit code.

    place: (coordinator, num_processes, process_id), all None where the environment tells. timeout:
    seconds to wait for the others. The code is hosts.PREEMPTED where the run was told to stop, and
    has saved.
    """
    if several:
        hosts.connect(hosts.find(*place), _same_everywhere(config), timeout=timeout)
    try:
        train(config, workdir)
    except loop.Preempted as told:
        print(f"byol_jax: {told}", flush=True)
        return hosts.PREEMPTED
    except Exception as error:
        hosts.explain(error)
        raise
    return 0


def _same_everywhere(config) -> dict[str, str]:
    """What all processes of a run have to have in common."""
    versions = {f"the version of {name}": metadata.version(name) for name in ("jax", "flax")}
    fields = checkpoint.fields(json.loads(json.dumps(config.to_dict())))
    return {
        "the code's commit": runtime.commit(),
        **versions,
        **{f"config.{name}": value for name, value in fields.items()},
    }


def train(config: ConfigDict, workdir: str) -> dict[str, list[table.Row]]:
    """Trains from the newest checkpoint of workdir, or from the start, then finishes.

    Prints the results as a table and returns its rows; without labels there are none.
    """
    ready = run.prepare(config, workdir)
    is_writer = jax.process_index() == 0
    if is_writer:
        report.show(_facts(ready), _warnings(ready))
    with checkpoint.Checkpoints(ready.workdir, keep=config.keep_checkpoints) as checkpoints:
        state = ready.first
        if checkpoints.latest_step() is not None:
            state, warnings = checkpoints.restore_whole(ready.first)
            if is_writer:
                report.show({"resuming": f"from step {int(state.step)}"}, warnings)
        state = loop.steps(ready, state, checkpoints, is_writer=is_writer)
        rows = finish.finish(ready, jax.device_get(state), checkpoints) if is_writer else {}
    hosts.wait_for_all("finished")
    return rows


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
