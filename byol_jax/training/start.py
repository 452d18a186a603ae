"""The start of a run: its data, its parts and its first state, before anything is written."""

from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from byol_jax import data, errors, train_state, workdir
from byol_jax.builders import inputs, parts, step
from byol_jax.config import saved
from byol_jax.system import devices, paths


class Experiment(NamedTuple):
    """An experiment that is ready to run.

    first: its first state, on the host.  splits: those to evaluate on, training and test, None
    where nothing will be evaluated.  inputs: how the images reach the step.
    """

    config: ConfigDict
    workdir: Path
    parts: parts.Parts
    source: data.Source
    splits: tuple[data.Source, data.Source] | None
    first: train_state.TrainState
    inputs: inputs.Inputs


def prepare(config: ConfigDict, folder: str | Path, *, writes: bool = True) -> Experiment:
    """Opens the data of a checked config, builds its parts, and makes its first state.

    Args:
        config: an experiment that config.check.check lets through.
        folder: the workdir.
        writes: also write the config into the workdir, as training does.

    Raises:
        UserError: where the config does not suit the data, the devices, or what the workdir holds;
            nothing is written then.
    """
    _check_steps(config.evaluate.steps)
    devices.check_batch_size(config.batch_size, config.microbatches)
    source = inputs.open_split(config.data, config.data.train_split)
    images = inputs.choose(config, source)
    built = step.make_parts(config, source, images)
    splits = _splits(config, source)
    folder = paths.local(folder).absolute()
    saved.check_same(folder, config)
    # Views and networks refuse what does not fit when they are traced, which this does.
    first = jax.device_get(jax.jit(step.first_state(config, built, source, images))())
    if writes and jax.process_index() == 0:
        workdir.write_config(folder, config.to_dict())
    return Experiment(config, folder, built, source, splits, first, images)


def _check_steps(steps) -> None:
    """Of several processes only the first evaluates, and all would have to read older checkpoints."""
    if jax.process_count() > 1 and tuple(steps) != ("last",):
        raise errors.UserError(
            f"evaluate.steps ({tuple(steps)}) must be ('last',) where several processes train; for "
            "others, run `evaluate` on the workdir afterwards.",
            section="evaluate.steps",
            value=tuple(steps),
        )


def _splits(config, source):
    if not config.evaluate.protocols:
        return None
    if any(value is not None for value in config.evaluate.data.values()):
        return inputs.open_evaluation(config)
    if source.num_classes is None:
        return None
    test = inputs.open_split(config.data, config.data.test_split)
    test.require_size()
    return source, test
