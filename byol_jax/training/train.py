"""A whole training run: prepare, resume, train, evaluate."""

import json
from importlib import metadata
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from byol_jax import checkpoint, hosts, monitor
from byol_jax.config import check, saved
from byol_jax.evaluation import table
from byol_jax.system import version
from byol_jax.training import finish, loop, start


class Cluster(NamedTuple):
    """How the processes of a distributed run connect to each other.

    If coordinator, num_processes and process_id are all None, they come from the environment of
    SLURM, TPU, GKE or Open MPI.

    Attributes:
        coordinator: Address on which process 0 listens, HOST:PORT.
        num_processes: Number of processes.
        process_id: Number of this process, from 0.
        timeout: Seconds to wait for the other processes.
    """

    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    timeout: int = 300


def train(
    config: ConfigDict, workdir: str, *, cluster: Cluster | None = None
) -> dict[str, list[table.Row]]:
    """Trains from the newest checkpoint, or from the start, and then evaluates the encoder.

    Prints the accuracies as a table. In a distributed run, an error ends this process immediately;
    see hosts.exit_if_distributed.

    Args:
        config: The experiment's config.
        workdir: Working directory of the run.
        cluster: How to connect the processes of a distributed run; None for a single process.

    Returns:
        The results by candidate; empty without labels or protocols, and on all processes but the
        first.

    Raises:
        UserError: If the config is wrong or does not fit the data or the working directory.
        Preempted: If the run is asked to stop early; its state is saved.
    """
    check.check(config)
    if cluster is not None:
        # Connect before anything else uses JAX's devices.
        address = hosts.find(cluster.coordinator, cluster.num_processes, cluster.process_id)
        hosts.connect(address, _shared_facts(config), timeout=cluster.timeout)
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
        # Only a copy on the host remains, so that the evaluation has the memory of the devices.
        state = jax.device_get(loop.steps(experiment, state, checkpoints, is_writer=is_writer))
        rows = {}
        if is_writer:
            rows = finish.finish(experiment, state, checkpoints)
    # No process may exit while the first one still evaluates.
    hosts.wait_for_all("finished")
    return rows


def _shared_facts(config: ConfigDict) -> dict[str, Any]:
    """Returns the versions and config fields that must be equal on all processes of a run."""
    versions = {f"the version of {name}": metadata.version(name) for name in ("jax", "flax")}
    fields = saved.flat(json.loads(json.dumps(config.to_dict())))
    return {
        "the code's commit": version.commit(),
        **versions,
        **{f"config.{name}": value for name, value in fields.items()},
    }


def _facts(experiment: start.Experiment) -> dict[str, str]:
    """Returns the summary printed at the start of a run, a dict from headings to texts."""
    config = experiment.config
    parts = experiment.parts
    facts = {
        "method": f"{config.method.name}, encoder {config.encoder.name}, seed {config.seed}",
        "data": _data_fact(experiment),
        "batch": _batch_fact(config),
        "steps": f"{parts.total_steps:,} = {config.epochs:g} epochs x {parts.steps_per_epoch}",
        "learning rate": _rate_fact(experiment),
        "optimizer": _optimizer_fact(experiment),
        "workdir": str(experiment.workdir),
    }
    capacity = parts.method.queue_capacity
    if capacity:
        share = capacity / len(experiment.source)
        facts["queue"] = f"{capacity:,} keys, {share:.1%} of the number of images"
    return facts


def _rate_fact(experiment: start.Experiment) -> str:
    section = experiment.config.schedule
    scaling = section.get("scaling", "linear")
    return (
        f"peak {experiment.parts.peak_learning_rate:g} ({section.learning_rate:g} with {scaling} "
        f"scaling), {section.name} schedule"
    )


def _data_fact(experiment: start.Experiment) -> str:
    source = experiment.source
    section = experiment.config.data
    size = "any size" if source.sizes_differ else " x ".join(map(str, source.image_shape))
    labels = f"{source.num_classes} classes" if source.num_classes else "no labels"
    return f"{section.name} {section.train_split}: {len(source):,} images of {size}, {labels}"


def _batch_fact(config: ConfigDict) -> str:
    count = jax.device_count()
    platform = jax.devices()[0].platform
    return (
        f"{config.batch_size} = {count} {platform} devices x {config.batch_size // count} images; "
        f"microbatches per device: {config.microbatches}"
    )


def _optimizer_fact(experiment: start.Experiment) -> str:
    params = experiment.first.params
    mask = monitor.leaves_text(params, experiment.parts.mask(params))
    name = experiment.config.optimizer.name
    effects = "weight decay and adaptation" if name == "lars" else "weight decay"
    return f"{name}; {effects} on: {mask}"


def _warnings(experiment: start.Experiment) -> list[str]:
    capacity = experiment.parts.method.queue_capacity
    num_examples = len(experiment.source)
    if capacity <= num_examples:
        return []
    return [
        f"the queue (method.capacity {capacity}) is larger than the data set ({num_examples}): "
        "it contains older keys of the same images as the batch. Choose a capacity well below the "
        "size of the data set."
    ]
