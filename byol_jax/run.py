"""An experiment made ready: its parts, its data, and its first state."""

from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from byol_jax import (
    assemble,
    build,
    checkpoint,
    checks,
    data,
    evaluate,
    inputs,
    runtime,
    train_state,
    train_step,
)
from byol_jax import config as fields


class Run(NamedTuple):
    """An experiment that is ready to go; `first` is its first state, on the host.

    splits: those to evaluate on, training and test, None where nothing will be evaluated.  inputs:
    the way of the images.
    """

    config: ConfigDict
    workdir: Path
    parts: build.Parts
    source: data.Source
    splits: tuple[data.Source, data.Source] | None
    first: train_state.TrainState
    inputs: inputs.Inputs


def prepare(config: ConfigDict, workdir: str | Path, *, keeps: bool = True) -> Run:
    """Checks the config against the data, the devices and the workdir, and builds what it names.

    keeps: write the config into the workdir, as who trains there does.

    Raises ValueError, saying what to change, before anything is written.
    """
    checks.check(config, complete=keeps)
    evaluate.check(config.evaluate)
    _check_steps(config.evaluate.steps)
    runtime.check_batch_size(config.batch_size, config.microbatches)
    source = evaluate.open_split(config.data, config.data.train_split)
    way = inputs.choose(config, source)
    parts = assemble.parts(config, source, way, axis_name=train_step.AXIS)
    splits = _splits(config, source)
    workdir = Path(workdir).expanduser().absolute()
    if jax.process_index() == 0 and (keeps or workdir.is_dir()):
        workdir.mkdir(parents=True, exist_ok=True)
        free = {"free": fields.FREE, "keeps": keeps}
        checkpoint.check_same_experiment(workdir, config.to_dict(), **free)
    first = jax.device_get(jax.jit(assemble.first_state(config, source, way))())
    return Run(config, workdir, parts, source, splits, first, way)


def _check_steps(steps):
    """All processes would have to read an older checkpoint, and at the end only the first is there."""
    if jax.process_count() > 1 and tuple(steps) != ("last",):
        raise ValueError(
            f"evaluate.steps ({tuple(steps)}) must be ('last',) where several processes train; for "
            "others, run `evaluate` on the workdir afterwards."
        )


def _splits(config, source):
    if not config.evaluate.protocols:
        return None
    if any(value is not None for value in config.evaluate.data.values()):
        return evaluate.open_data(config)
    if source.num_classes is None:
        return None
    splits = source, evaluate.open_split(config.data, config.data.test_split)
    assert splits[1].image_shape  # raises, before training, where evaluation wants a size
    return splits
