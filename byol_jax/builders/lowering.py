"""Lowers the programs of a run from shapes only; the target devices need not be attached.

It allocates neither the model nor the data.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from byol_jax import data, encoders
from byol_jax.builders import encoder as build_encoder
from byol_jax.builders import inputs, parts, step
from byol_jax.evaluation import features, lowering
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
    index = jax.ShapeDtypeStruct((num_devices, config.batch_size // num_devices), "int32")
    if images.resident:
        return state, {"index": index}, inputs.shapes(images, source, len(source))
    return state, {**inputs.shapes(images, source, *index.shape), "index": index}


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


class Evaluation(NamedTuple):
    """The programs of the evaluation at the end of a run.

    Attributes:
        programs: The lowered programs, by what they compute.
        resident: Bytes of the networks, which stay in the memory of the device meanwhile.
    """

    programs: dict[str, jax.stages.Lowered]
    resident: int


def lower_evaluation(
    config: ConfigDict, source: data.Source, targets: Sequence[Any]
) -> Evaluation | None:
    """Lowers what the evaluation at the end of training computes on the first device.

    Args:
        config: The experiment's config.
        source: The training split, or its outline.
        targets: JAX devices of one or more processes; they need not be attached.

    Returns:
        The programs; None if training would not evaluate.

    Raises:
        UserError: If the size of the data set to evaluate on is unknown.
    """
    section = inputs.evaluation_section(config)
    train = source
    if any(section[name] != config.data[name] for name in section):
        train = data.outline(
            section["name"],
            section["train_split"],
            data_dir=section["data_dir"],
            image_size=section["image_size"],
        )
    if not config.evaluate.protocols or train.num_classes is None:
        return None
    images = inputs.choose(config, source)
    built = step.make_parts(config, source, images)
    state = jax.eval_shape(step.first_state(config, built, source, images))
    place = devices.replicated(targets[:1])
    networks = devices.outline((state.params, state.stats), place)
    batch = jax.ShapeDtypeStruct(
        (min(features.BATCH, len(train)), *train.image_shape), train.dtype, sharding=place
    )
    encode = jax.jit(built.encode).lower(*networks, batch)
    sizes = lowering.Sizes(
        num_train=len(train),
        num_features=encode.out_info.shape[-1],
        num_classes=train.num_classes,
        image_shape=train.image_shape,
        dtype=train.dtype.name,
        num_devices=sum(d.process_index == targets[0].process_index for d in targets),
    )
    metadata = build_encoder.info(config, built.method, source, 0)
    encoder = encoders.Encoder(state.params["encoder"], state.stats["encoder"], metadata)
    backbone = build_encoder.backbone(config, encoder)
    programs = {"features": encode}
    for protocol in config.evaluate.protocols:
        options = config.evaluate.options.to_dict().get(protocol, {})
        programs |= lowering.lower(protocol, options, sizes, backbone, targets[0])
    resident = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(networks))
    return Evaluation(programs, resident)
