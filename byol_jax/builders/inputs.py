"""Opens data sets and decides how their images reach the train step.

Resident: the decoded data set is on every device, and each step gathers its batch by index.
Streamed: the host decodes the images of each step. For large images it can also cut the random
crops while it decodes; then only the crops go to the devices, which apply the other augmentations.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from byol_jax import data, errors
from byol_jax.builders import views

LARGE = 128  # the host crops streamed images whose longer side has more pixels
MAX_WORKERS = 16


class Inputs(NamedTuple):
    """The settings that determine how the images of one data set reach the train step.

    Attributes:
        resident: True if the decoded data set is on the devices.
        crops: Crops that the host cuts; None if the devices cut them.
        workers: Number of processes that read images ahead; 0 if `resident`.
    """

    resident: bool
    crops: data.Crops | None
    workers: int


def open_split(section: Mapping[str, Any], split: str) -> data.Source:
    """Opens a split of a data set.

    Args:
        section: A config section with the fields of config.data.
        split: The split, in TFDS notation.

    Returns:
        The split.

    Raises:
        UserError: If the data set or the split does not exist.
    """
    name = section["name"]
    data_dir = section["data_dir"]
    image_size = section["image_size"]
    value = {"name": name, "split": split, "data_dir": data_dir, "image_size": image_size}
    with errors.naming_section("data", value):
        return data.open_source(name, split, data_dir=data_dir, image_size=image_size)


def open_evaluation(config: ConfigDict) -> tuple[data.Source, data.Source]:
    """Opens the two splits for the evaluation: the training split and the test split.

    Args:
        config: The experiment's config. Fields of config.evaluate.data that are not None replace
            those of config.data.

    Returns:
        The training split and the test split.

    Raises:
        UserError: If a split does not exist, has no labels, or has images of different sizes and no
            image_size.
    """
    section = evaluation_section(config)
    sources = (
        open_split(section, section["train_split"]),
        open_split(section, section["test_split"]),
    )
    for source in sources:
        source.require_labels()
        source.require_size()
    return sources


def evaluation_section(config: ConfigDict) -> dict[str, Any]:
    """Returns the data set to evaluate on, as a config section with the fields of config.data.

    Args:
        config: The experiment's config.

    Returns:
        Fields of config.evaluate.data that are not None, and otherwise those of config.data.
    """
    overrides = {name: value for name, value in config.evaluate.data.items() if value is not None}
    return {**config.data.to_dict(), **overrides}


def choose(config: ConfigDict, source: data.Source) -> Inputs:
    """Decides whether the devices hold the training images, and whether the host cuts the crops.

    Args:
        config: The experiment's config. "auto" in config.data.mode and config.data.crops depends on
            the size of the images and of the split.
        source: The training split.

    Returns:
        The inputs.

    Raises:
        UserError: If the host must crop, but the mode, the images or the views do not allow it.
    """
    mode = config.data.mode
    crops = config.data.crops
    if (mode, crops) == ("resident", "host"):
        raise errors.UserError(
            "config.data.mode 'resident' keeps the images on the devices, so the host cannot crop "
            "them; set config.data.crops='device' or config.data.mode='streamed'."
        )
    small = not source.sizes_differ and source.is_small
    if mode == "resident" or (mode == "auto" and crops != "host" and small):
        return Inputs(resident=True, crops=None, workers=0)
    workers = config.data.workers
    if workers is None:
        workers = min(os.cpu_count() or 1, MAX_WORKERS)
    return Inputs(resident=False, crops=_host_crops(config, source), workers=workers)


def _host_crops(config: ConfigDict, source: data.Source) -> data.Crops | None:
    if config.data.crops == "device":
        return None
    is_large = source.sizes_differ or max(source.image_shape[:2]) > LARGE
    if config.data.crops == "auto" and not is_large:
        return None
    try:
        return views.host_crops(config, source.dtype, source.num_channels)
    except ValueError:
        if config.data.crops == "host":
            raise
        return None


def batches(
    inputs: Inputs, config: ConfigDict, source: data.Source, *, start_step: int = 0
) -> Iterator[dict[str, np.ndarray]]:
    """Returns an iterator over this process's training batches.

    Args:
        inputs: How the images reach the train step.
        config: The experiment's config.
        source: The training split.
        start_step: Number of steps to skip.

    Returns:
        The iterator. A batch is a dict of arrays with leading axis B; if the data set is resident,
        it contains only `index`.
    """
    take = _indices if inputs.resident else data.Reader(source, inputs.crops, config.seed)
    return data.batches(
        take,
        num_examples=len(source),
        batch_size=config.batch_size,
        seed=config.seed,
        start_step=start_step,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        num_workers=inputs.workers,
    )


def _indices(index, step, row):
    del step, row
    return {"index": index}


def shapes(inputs: Inputs, source: data.Source, *leading: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Describes the images and labels that the train step takes.

    Args:
        inputs: How the images reach the train step.
        source: The training split.
        *leading: Sizes of the axes before those of one image, such as devices and B.

    Returns:
        The shapes and dtypes of `image` and, if there are labels, `label`.
    """
    if inputs.crops is None:
        one = source.image_shape
    else:
        one = (len(inputs.crops.boxes), *inputs.crops.size, source.num_channels)
    described = {"image": jax.ShapeDtypeStruct((*leading, *one), source.dtype)}
    if source.num_classes is not None:
        described["label"] = jax.ShapeDtypeStruct(leading, "int32")
    return described


def zeros(inputs: Inputs, source: data.Source, num_rows: int) -> jax.Array:
    """Creates black images with the shape and dtype of the train step's input.

    Args:
        inputs: How the images reach the train step.
        source: The training split.
        num_rows: Number of images, B.

    Returns:
        Images [B, H, W, C], or crops [B, V, h, w, C] of V views if the host cuts them.
    """
    image = shapes(inputs, source, num_rows)["image"]
    return jnp.zeros(image.shape, image.dtype)
