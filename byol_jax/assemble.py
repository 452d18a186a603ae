"""From a config and what is known of its data to the parts, the first state and the step of a run."""

from collections.abc import Callable

import jax
from ml_collections import ConfigDict

from byol_jax import build, data, inputs, train_state, train_step


def parts(
    config: ConfigDict, source: data.Source, way: inputs.Inputs, *, axis_name: str | None
) -> build.Parts:
    """The parts of the config for this data; raises as build.build does."""
    return build.build(
        config,
        num_examples=len(source),
        num_classes=source.num_classes,
        num_channels=source.num_channels,
        cropped=way.crops is not None,
        axis_name=axis_name,
    )


def first_state(
    config: ConfigDict, source: data.Source, way: inputs.Inputs
) -> Callable[[], train_state.TrainState]:
    """The function that makes the first state, for jax.jit or jax.eval_shape.

    Built without the device axis, which is there only within a step.
    """
    made = parts(config, source, way, axis_name=None)

    def create():
        num_rows = 2 * config.batch_norm.get("groups", 1)
        keys = jax.random.split(jax.random.key(0), num_rows)
        return train_state.create(
            made.method,
            made.optimizer,
            made.make_views(keys, inputs.zeros(way, source, num_rows)),
            seed=config.seed,
            online_probe=made.online_probe,
        )

    return create


def logs(config: ConfigDict, total_steps: int) -> Callable:
    """The function of the steps done, a number or an array: whether it is time to log."""

    def is_due(done):
        return (done % config.log_every_steps == 0) | (done == total_steps)

    return is_due


def step(
    config: ConfigDict,
    made: build.Parts,
    way: inputs.Inputs,
    *,
    devices: list[jax.Device] | None = None,
) -> Callable:
    """The step of train_step.parallel, on these devices, of parts made with axis_name=AXIS."""
    one = train_step.make(
        made.method,
        made.optimizer,
        make_views=made.make_views,
        seed=config.seed,
        microbatches=config.microbatches,
        online_probe=made.online_probe,
        measures=logs(config, made.total_steps),
        most_skipped=config.most_skipped,
        axis_name=train_step.AXIS,
    )
    return train_step.parallel(one, resident=way.resident, devices=devices)
