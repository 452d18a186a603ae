"""Lowers the train step from shapes only; the target devices need not be attached.

It allocates neither the model nor the data.
"""

from collections.abc import Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from byol_jax import data
from byol_jax.builders import inputs, parts, step
from byol_jax.system import devices


def outline(config: ConfigDict, num_examples: int | None = None) -> data.Source:
    """Returns the metadata of the training split, even if the data set is not on disk yet.

    Args:
        config: The experiment's config.
        num_examples: Number of examples in the split, if its data set is not prepared.

    Returns:
        A source from which no image can be read; see data.outline.
    """
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
) -> tuple[Any, ...]:
    """Computes the shapes of the arguments of the parallel train step.

    Args:
        config: The experiment's config.
        built: The parts of the config.
        source: The training split.
        images: How the images reach the train step.
        num_devices: Number of devices, D.

    Returns:
        The state and the batch, as pytrees of jax.ShapeDtypeStruct. Leaves of the batch are
        [D, B, ...] with D * B = config.batch_size. For a resident data set of N examples, the batch
        contains only `index`, and a third item holds the examples, leaves [N, ...].
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


def lower(config: ConfigDict, source: data.Source, targets: Sequence[Any]) -> jax.stages.Lowered:
    """Lowers the train step for some devices, without allocating the model or the data.

    Args:
        config: The experiment's config.
        source: The training split, or its outline.
        targets: JAX devices of one or more processes; they need not be attached.

    Returns:
        The lowered step, which training on these devices would compile.

    Raises:
        UserError: If training would refuse the config, for example because the batch size does not
            divide evenly over the devices.
    """
    devices.check_batch_size(config.batch_size, config.microbatches, len(targets))
    images = inputs.choose(config, source)
    built = step.make_parts(config, source, images)
    parallel = step.parallel_step(config, built, images, devices=targets)
    return parallel.lower(*shapes(config, built, source, images, len(targets)))
