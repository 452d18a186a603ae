"""MNIST's IDX files: the pictures of a split in one file, their labels in another."""

import functools
import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from byol_jax import errors
from byol_jax.data import images
from byol_jax.data.preparation import convert, write
from byol_jax.data.preparation.convert import Work
from byol_jax.data.preparation.outcome import Report

_SPLITS = {"train": "train", "t10k": "test", "test": "test"}  # by what the files' names start with


def is_here(source: Path) -> bool:
    """Whether `source` is a folder of IDX files."""
    return any(source.glob("*-images-idx3-ubyte*"))


def prepare(work: Work) -> Report:
    """Writes the data set of a folder of IDX files; raises ValueError where one is broken."""
    found = {}
    for split, (pixels, labels) in _read(work.source).items():
        limit = work.limits[split]
        found[split] = (pixels[:limit], None if labels is None else labels[:limit])
    if "train" not in found:
        raise FileNotFoundError(f"{work.source} has no train-images-idx3-ubyte; add it.")
    pixels, labels = found["train"]
    kept = {split: len(pixels) for split, (pixels, _) in found.items()}
    classes = None if labels is None else [str(c) for c in range(1 + int(labels.max()))]
    report = Report(kept, classes, (*pixels.shape[1:], 1), "uint8", sum(kept.values()))
    splits = {split: functools.partial(_examples, *arrays) for split, arrays in found.items()}
    write.write(work, splits, report, convert.unfinished(work, str(work.source)))
    return report


def _read(source: Path) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Of each split the pictures, uint8 [N, H, W], and the labels [N] or None."""
    found = {}
    for prefix, split in _SPLITS.items():
        for file in source.glob(f"{prefix}-images-idx3-ubyte*"):
            labels = [_array(other) for other in source.glob(f"{prefix}-labels-idx1-ubyte*")]
            found[split] = (_array(file), labels[0] if labels else None)
    return found


def _examples(pixels: np.ndarray, labels: np.ndarray | None) -> Iterator[dict]:
    """The examples of a split: PNG bytes, and the label if any."""
    for row, image in enumerate(pixels):
        label = {} if labels is None else {"label": int(labels[row])}
        yield {"image": images.encode(image[..., None]), **label}


def _array(path: Path) -> np.ndarray:
    """The array of an IDX file of bytes, perhaps gzipped; raises ValueError for another file."""
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise errors.UserError(f"{path} is not an IDX file of unsigned bytes; replace it.")
    rank = data[3]
    shape = np.frombuffer(data, ">i4", count=rank, offset=4)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * rank)
    if values.size != np.prod(shape):
        raise errors.UserError(f"{path} is cut off: {values.size} bytes of {np.prod(shape)}.")
    return values.reshape(shape)
