"""The parts, the first state and the parallel step of a run, for given data."""

from collections.abc import Callable

import jax
from ml_collections import ConfigDict

from byol_jax import data, train_state, train_step
from byol_jax.builders import inputs, parts


def make_parts(config: ConfigDict, source: data.Source, images: inputs.Inputs) -> parts.Parts:
    """The parts of the config for this data, with the device axis; raises as parts.build does."""
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
    """The function that makes the first state, for jax.jit or jax.eval_shape."""

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


def logs(config: ConfigDict, total_steps: int) -> Callable:
    """The function of the steps done, a number or an array: whether it is time to log."""

    def is_due(done):
        return (done % config.log_every_steps == 0) | (done == total_steps)

    return is_due


def parallel_step(
    config: ConfigDict,
    built: parts.Parts,
    images: inputs.Inputs,
    *,
    devices: list[jax.Device] | None = None,
) -> Callable:
    """The step of train_step.parallel, on these devices; all that there are, unless given."""
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
