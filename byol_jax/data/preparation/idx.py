"""Conversion of MNIST's IDX files, which store a split's images and labels in two files."""

import functools
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from byol_jax import errors
from byol_jax.data import images
from byol_jax.data.preparation import convert, write
from byol_jax.data.preparation.convert import Work
from byol_jax.data.preparation.outcome import Report

_SPLITS = {"train": "train", "t10k": "test", "test": "test"}  # by the prefix of the file names


class _Split(NamedTuple):
    pixels: np.ndarray  # uint8 [N, H, W]
    labels: np.ndarray | None  # [N]


def is_here(source: Path) -> bool:
    """Checks whether a folder contains IDX files.

    Args:
        source: The folder.

    Returns:
        True if it contains an IDX file of images.
    """
    return any(source.glob("*-images-idx3-ubyte*"))


def prepare(work: Work) -> Report:
    """Converts a folder of IDX files to a data set.

    Args:
        work: The folder, the output folder and the largest number of images of each split.

    Returns:
        The number of images in each split, their classes and their shape.

    Raises:
        FileNotFoundError: The folder has no training images.
        UserError: A file is not an IDX file of bytes, or is truncated.
    """
    splits = {}
    for name, split in _read(work.source).items():
        limit = work.limits[name]
        labels = None if split.labels is None else split.labels[:limit]
        splits[name] = _Split(split.pixels[:limit], labels)
    if "train" not in splits:
        raise FileNotFoundError(f"{work.source} has no file train-images-idx3-ubyte; add it.")
    train = splits["train"]
    sizes = {name: len(split.pixels) for name, split in splits.items()}
    classes = None
    if train.labels is not None:
        classes = [str(number) for number in range(1 + int(train.labels.max()))]
    report = Report(
        kept=sizes,
        classes=classes,
        shape=(train.pixels.shape[1], train.pixels.shape[2], 1),
        dtype="uint8",
        found=sum(sizes.values()),
    )
    examples = {name: functools.partial(_examples, split) for name, split in splits.items()}
    write.write(work, examples, report, convert.unfinished(work, str(work.source)))
    return report


def _read(source: Path) -> dict[str, _Split]:
    """Reads the IDX files of a folder, and returns the splits by name."""
    splits = {}
    for prefix, name in _SPLITS.items():
        for file in source.glob(f"{prefix}-images-idx3-ubyte*"):
            label_files = source.glob(f"{prefix}-labels-idx1-ubyte*")
            labels = [_array(label_file, rank=1) for label_file in label_files]
            splits[name] = _Split(_array(file, rank=3), labels[0] if labels else None)
    return splits


def _examples(split: _Split) -> Iterator[dict]:
    """Yields the examples of a split: PNG bytes, and the label if there is one."""
    for row, image in enumerate(split.pixels):
        example: dict = {"image": images.encode(image[..., None])}
        if split.labels is not None:
            example["label"] = int(split.labels[row])
        yield example


def _array(path: Path, *, rank: int) -> np.ndarray:
    """Reads the array of an IDX file of unsigned bytes, which may be compressed with gzip."""
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    if data[:4] != bytes((0, 0, 8, rank)):
        raise errors.UserError(
            f"{path} is not an IDX file of unsigned bytes with {rank} dimensions; replace it."
        )
    shape = np.frombuffer(data, ">i4", count=rank, offset=4)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * rank)
    expected_size = np.prod(shape)
    size = values.size
    if size != expected_size:
        raise errors.UserError(
            f"{path} is damaged: it has {size} bytes of values instead of {expected_size}; "
            "replace it."
        )
    return values.reshape(shape)
