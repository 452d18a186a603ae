"""The trainer's step, lowered for devices that need not be here, from shapes alone.

Nothing of the model's or the data's size is allocated.
"""

import jax
from ml_collections import ConfigDict

from byol_jax import data
from byol_jax.builders import inputs, parts, step
from byol_jax.system import devices


def outline(config: ConfigDict, num_examples: int | None = None) -> data.Source:
    """What is known of the training split; num_examples: where that is not (see data.outline)."""
    return data.outline(
        config.data.name,
        config.data.train_split,
        data_dir=config.data.data_dir,
        image_size=config.data.image_size,
        num_examples=num_examples,
    )


def shapes(
    config: ConfigDict,
    built: parts.Parts,
    source: data.Source,
    images: inputs.Inputs,
    num_devices: int,
) -> tuple:
    """The arguments of the parallel step as jax.ShapeDtypeStruct: (state, batch[, examples]).

    Leaves of the batch are [num_devices, B, …], where B * num_devices is config.batch_size; of a
    resident data set it has the index alone, and examples have leaves [all, …].
    """
    state = jax.eval_shape(step.first_state(config, built, source, images))
    per_device = config.batch_size // num_devices

    def rows(count):
        leaves = {"image": jax.eval_shape(lambda: inputs.zeros(images, source, count))}
        if source.num_classes is not None:
            leaves["label"] = jax.ShapeDtypeStruct((count,), "int32")
        return leaves

    index = {"index": jax.ShapeDtypeStruct((num_devices, per_device), "int32")}
    if images.resident:
        return state, index, rows(len(source))
    batch = {
        name: jax.ShapeDtypeStruct((num_devices, *x.shape), x.dtype)
        for name, x in rows(per_device).items()
    }
    return state, {**batch, **index}


def lower(config: ConfigDict, source: data.Source, targets: list[jax.Device]) -> jax.stages.Lowered:
    """The step that training would compile, lowered for target devices, of one process or many.

    Raises UserError as training would: for an unknown name, a batch that does not divide, ….
    """
    devices.check_batch_size(config.batch_size, config.microbatches, len(targets))
    images = inputs.choose(config, source)
    built = step.make_parts(config, source, images)
    parallel = step.parallel_step(config, built, images, devices=targets)
    return parallel.lower(*shapes(config, built, source, images, len(targets)))
