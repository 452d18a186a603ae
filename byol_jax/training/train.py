"""One training run: prepare, resume, take the steps, finish."""

import json
from importlib import metadata
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from byol_jax import checkpoint, hosts, monitor
from byol_jax.config import check, saved
from byol_jax.evaluation import table
from byol_jax.system import version
from byol_jax.training import finish, loop, start


class Cluster(NamedTuple):
    """Several processes that are one run.

    Attributes:
        coordinator, num_processes, process_id: where process 0 listens, HOST:PORT, how many
            processes there are, and which this one is; all None takes them from the environment
            that SLURM, TPU, GKE or Open MPI make.
        timeout: seconds to wait for the others.
    """

    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    timeout: int = 300


def train(
    config: ConfigDict, workdir: str, *, cluster: Cluster | None = None
) -> dict[str, list[table.Row]]:
    """Trains from the newest checkpoint of the workdir, or from the start, then finishes.

    Prints the accuracies as a table. Where it is one of several processes, an error ends it at once
    (see hosts.exit_if_distributed).

    Returns:
        The rows of the table by candidate; without labels there are none.

    Raises:
        UserError: for a config that is wrong, or does not suit the data or the workdir.
        loop.Preempted: when the run was told to stop; its state is saved.
    """
    check.check(config)
    if cluster is not None:
        place = hosts.find(cluster.coordinator, cluster.num_processes, cluster.process_id)
        hosts.connect(place, _same_everywhere(config), timeout=cluster.timeout)
    try:
        return _train(config, workdir)
    except loop.Preempted:
        raise
    except Exception as error:
        hosts.exit_if_distributed(error)
        raise


def _train(config: ConfigDict, workdir: str) -> dict[str, list[table.Row]]:
    experiment = start.prepare(config, workdir)
    is_writer = jax.process_index() == 0
    if is_writer:
        monitor.show(_facts(experiment), _warnings(experiment))
    with checkpoint.Checkpoints(experiment.workdir, keep=config.keep_checkpoints) as checkpoints:
        state = experiment.first
        if checkpoints.latest_step() is not None:
            state, warnings = checkpoints.restore_whole(experiment.first)
            if is_writer:
                monitor.show({"resuming": f"from step {int(state.step)}"}, warnings)
        state = loop.steps(experiment, state, checkpoints, is_writer=is_writer)
        rows = {}
        if is_writer:
            rows = finish.finish(experiment, jax.device_get(state), checkpoints)
    hosts.wait_for_all("finished")
    return rows


def _same_everywhere(config: ConfigDict) -> dict[str, str]:
    """What all processes of a run must have in common."""
    versions = {f"the version of {name}": metadata.version(name) for name in ("jax", "flax")}
    fields = saved.flat(json.loads(json.dumps(config.to_dict())))
    return {
        "the code's commit": version.commit(),
        **versions,
        **{f"config.{name}": value for name, value in fields.items()},
    }


def _facts(experiment: start.Experiment) -> dict[str, str]:
    """The start-up summary."""
    config, parts = experiment.config, experiment.parts
    facts = {
        "method": f"{config.method.name}, encoder {config.encoder.name}, seed {config.seed}",
        "data": _data_fact(experiment),
        "batch": _batch_fact(config),
        "steps": f"{parts.total_steps:,} = {config.epochs:g} epochs x {parts.steps_per_epoch}",
        "learning rate": _rate_fact(experiment),
        "optimizer": _optimizer_fact(experiment),
        "workdir": str(experiment.workdir),
    }
    capacity = parts.method.capacity
    if capacity:
        facts["queue"] = f"{capacity:,} keys, {capacity / len(experiment.source):.1%} of the data"
    return facts


def _rate_fact(experiment: start.Experiment) -> str:
    section = experiment.config.schedule
    return (
        f"{experiment.parts.peak_learning_rate:g} at its peak = {section.learning_rate:g} scaled "
        f"{section.get('scaling', 'linear')}; {section.name}"
    )


def _data_fact(experiment: start.Experiment) -> str:
    source, section = experiment.source, experiment.config.data
    size = "any size" if source.sizes_differ else " x ".join(map(str, source.image_shape))
    labels = f"{source.num_classes} classes" if source.num_classes else "no labels"
    return f"{section.name} {section.train_split}: {len(source):,} images of {size}, {labels}"


def _batch_fact(config: ConfigDict) -> str:
    count = jax.device_count()
    platform = jax.devices()[0].platform
    return (
        f"{config.batch_size} = {count} {platform} devices x {config.batch_size // count}, in "
        f"{config.microbatches} microbatches"
    )


def _optimizer_fact(experiment: start.Experiment) -> str:
    params = experiment.first.params
    mask = monitor.leaves_text(params, experiment.parts.mask(params))
    name = experiment.config.optimizer.name
    adapted = " and adapted" if name == "lars" else ""
    return f"{name}; decayed{adapted}: {mask}"


def _warnings(experiment: start.Experiment) -> list[str]:
    capacity = experiment.parts.method.capacity
    num_examples = len(experiment.source)
    if capacity <= num_examples:
        return []
    return [
        f"the queue (method.capacity {capacity}) is larger than the data set ({num_examples}): "
        "it holds older keys of the very images; choose a capacity well below the data set's size."
    ]
