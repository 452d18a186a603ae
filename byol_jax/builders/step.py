"""Builds the parts, the initial state and the parallel train step of a run, for given data."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from byol_jax import data, train_state, train_step
from byol_jax.builders import inputs, parts


def make_parts(config: ConfigDict, source: data.Source, images: inputs.Inputs) -> parts.Parts:
    """Builds the method, optimizer and other parts of an experiment, for the parallel train step.

    Args:
        config: The experiment's config.
        source: The training split.
        images: How the images reach the train step.

    Returns:
        The parts.

    Raises:
        UserError: If the config does not suit the data; see parts.build.
    """
    return parts.build(
        config,
        num_examples=len(source),
        num_classes=source.num_classes,
        num_channels=source.num_channels,
        cropped=images.crops is not None,
        axis_name=train_step.AXIS,
    )


def first_state(
    config: ConfigDict, built: parts.Parts, source: data.Source, images: inputs.Inputs
) -> Callable[[], train_state.TrainState]:
    """Returns a function that creates the initial train state.

    Args:
        config: The experiment's config.
        built: The parts of the config.
        source: The training split.
        images: How the images reach the train step.

    Returns:
        A function without arguments, for jax.jit or jax.eval_shape.
    """

    def create():
        num_rows = 2 * config.batch_norm.get("groups", 1)
        keys = jax.random.split(jax.random.key(0), num_rows)
        return train_state.create(
            built.method,
            built.optimizer,
            built.make_views(keys, inputs.zeros(images, source, num_rows)),
            seed=config.seed,
            online_probe=built.online_probe,
            axis_name=train_step.AXIS,
        )

    return create


def logs(config: ConfigDict, total_steps: int) -> Callable[[Any], Any]:
    """Returns the function that decides after which steps metrics are logged.

    Args:
        config: The experiment's config.
        total_steps: Number of steps of the run; the last one is always logged.

    Returns:
        A function from the number of steps done, an integer or an array, to a bool of the same
        kind.
    """

    def is_due(done):
        return (done % config.log_every_steps == 0) | (done == total_steps)

    return is_due


def parallel_step(
    config: ConfigDict,
    built: parts.Parts,
    images: inputs.Inputs,
    *,
    devices: Sequence[Any] | None = None,
) -> train_step.ParallelStep:
    """Builds the train step that runs on several devices in parallel.

    Args:
        config: The experiment's config.
        built: The parts of the config.
        images: How the images reach the train step.
        devices: JAX devices; None uses all devices.

    Returns:
        The parallel step; see train_step.parallel.
    """
    step = train_step.make(
        built.method,
        built.optimizer,
        make_views=built.make_views,
        seed=config.seed,
        microbatches=config.microbatches,
        online_probe=built.online_probe,
        measures=logs(config, built.total_steps),
        most_skipped=config.most_skipped,
        axis_name=train_step.AXIS,
    )
    return train_step.parallel(step, resident=images.resident, devices=devices)
