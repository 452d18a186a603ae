"""Which way images take to the train step, and what the step then makes its views of.

Resident: the decoded data set lives on the devices, and each step gathers its own by index.
Streamed: the host decodes the images of each step; of large pictures it cuts the random crops while
it decodes, and only these go to the devices, where the rest of the augmentation is done.
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

LARGE = 128  # pixels of the longer side, above which the host crops what it streams
MAX_WORKERS = 16


class Inputs(NamedTuple):
    """The way of one data set's images.

    resident: on the devices.  crops: what the host cuts, None where the devices do.  workers: how
    many processes read.
    """

    resident: bool
    crops: data.Crops | None
    workers: int


def open_split(section: Mapping[str, Any], split: str) -> data.Source:
    """A split of the data set that a section like config.data names.

    Raises:
        UserError: where there is no such data set or split.
    """
    where = {"data_dir": section["data_dir"], "image_size": section["image_size"]}
    with errors.naming_section("data", {"name": section["name"], "split": split, **where}):
        return data.open_source(section["name"], split, **where)


def open_evaluation(config: ConfigDict) -> tuple[data.Source, data.Source]:
    """The training and the test split to evaluate on: of config.evaluate.data, or of config.data.

    Raises:
        UserError: where they have no labels or no size, and as open_split does.
    """
    changed = {name: value for name, value in config.evaluate.data.items() if value is not None}
    section = {**config.data.to_dict(), **changed}
    sources = (
        open_split(section, section["train_split"]),
        open_split(section, section["test_split"]),
    )
    for source in sources:
        source.require_labels()
        source.require_size()
    return sources


def choose(config: ConfigDict, source: data.Source) -> Inputs:
    """The inputs that config.data asks for; "auto" looks at the size of the images and of all.

    Raises ValueError for crops on the host that the views or the mode do not allow.
    """
    mode, crops = config.data.mode, config.data.crops
    if (mode, crops) == ("resident", "host"):
        raise errors.UserError(
            "data.mode 'resident' keeps the images on the devices, so that the host has none to "
            "crop; set data.crops='device', or data.mode='streamed'."
        )
    small = not source.sizes_differ and source.is_small
    if mode == "resident" or (mode == "auto" and crops != "host" and small):
        return Inputs(True, None, 0)
    workers = config.data.workers
    workers = min(os.cpu_count() or 1, MAX_WORKERS) if workers is None else workers
    return Inputs(False, _host_crops(config, source), workers)


def _host_crops(config, source):
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
    """This process's batches from a step on; of a resident data set the indices alone."""
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


def zeros(inputs: Inputs, source: data.Source, num_rows: int) -> jax.Array:
    """Black images of a batch, [num_rows, …] as the step gets them."""
    if inputs.crops is None:
        shape = source.image_shape
    else:
        shape = (len(inputs.crops.boxes), *inputs.crops.size, source.num_channels)
    return jnp.zeros((num_rows, *shape), source.dtype)
