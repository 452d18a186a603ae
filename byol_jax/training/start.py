"""Preparation of a run: opens the data, builds the parts, and creates the first train state."""

from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from byol_jax import data, errors, train_state, workdir
from byol_jax.builders import inputs, parts, step
from byol_jax.config import saved
from byol_jax.system import devices, paths


class Experiment(NamedTuple):
    """An experiment that is ready to run: its data, its parts and its first train state.

    Attributes:
        config: The experiment's config.
        workdir: Working directory of the run, an absolute path.
        parts: Method, optimizer, schedules and functions built from the config.
        source: The training split.
        splits: Training and test split for the evaluation; None if the run is not evaluated.
        first: The train state before the first step, on the host.
        inputs: How images reach the train step.
    """

    config: ConfigDict
    workdir: Path
    parts: parts.Parts
    source: data.Source
    splits: tuple[data.Source, data.Source] | None
    first: train_state.TrainState
    inputs: inputs.Inputs


def prepare(config: ConfigDict, folder: str | Path, *, writes: bool = True) -> Experiment:
    """Opens the data of a config, builds its parts, and creates the first train state.

    Args:
        config: The experiment's config, checked by config.check.check.
        folder: Working directory of the run.
        writes: True writes the config into the working directory, as training does.

    Returns:
        The experiment, ready to run.

    Raises:
        UserError: If the config does not fit the data, the devices, or the experiment in the
            working directory. Nothing is written in this case.
    """
    # Cheap checks come first.
    _check_steps(config.evaluate.steps)
    devices.check_batch_size(config.batch_size, config.microbatches)
    source = inputs.open_split(config.data, config.data.train_split)
    images = inputs.choose(config, source)
    built = step.make_parts(config, source, images)
    splits = _open_splits(config, source)
    folder = paths.local(folder).absolute()
    # A working directory with another experiment is an error; find out before the slow part.
    saved.check_same(folder, config)
    # This traces the views and the networks, which raise an error if they do not fit the data.
    first = jax.device_get(jax.jit(step.first_state(config, built, source, images))())
    # Write last, so that a wrong config leaves no working directory behind.
    if writes and jax.process_index() == 0:
        workdir.write_config(folder, config.to_dict())
    return Experiment(config, folder, built, source, splits, first, images)


def _check_steps(steps) -> None:
    """Checks that a distributed run evaluates only its final state.

    One process evaluates, but restoring an older checkpoint needs all processes.
    """
    if jax.process_count() > 1 and tuple(steps) != ("last",):
        value = tuple(steps)
        raise errors.UserError(
            f"evaluate.steps ({value}) must be ('last',) in a run of several processes; for other "
            "steps, run `evaluate` on the workdir afterwards.",
            section="evaluate.steps",
            value=value,
        )


def _open_splits(config: ConfigDict, source: data.Source) -> tuple[data.Source, data.Source] | None:
    """Opens the splits for evaluation; returns None if there are no protocols or no labels."""
    if not config.evaluate.protocols:
        return None
    if any(value is not None for value in config.evaluate.data.values()):
        return inputs.open_evaluation(config)
    if source.num_classes is None:
        return None
    test = inputs.open_split(config.data, config.data.test_split)
    test.require_size()
    return source, test
