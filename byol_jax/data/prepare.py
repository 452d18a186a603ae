"""Makes a data set of a folder of pictures, or of IDX files: TFDS's ArrayRecord, no tensorflow."""

import contextlib
import functools
import gzip
import io
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from byol_jax.data import images

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_TEST_NAMES = ("test", "val", "validation", "t10k")


class Picture(NamedTuple):
    """One picture to store, its bytes readable by `images.decode`; label is None without classes."""

    encoded: bytes
    channels: int
    size: tuple[int, int]
    label: int | None


Read = Callable[[], Iterator[Picture]]  # each call starts again: sizes first, then the bytes


class Report(NamedTuple):
    """What `prepare` did: pictures kept in each split, classes, and what could not be read."""

    kept: dict[str, int]
    classes: list[str] | None
    unreadable: list[str]


def prepare(
    source: str, out: str, *, max_train: int | None = None, max_test: int | None = None
) -> Report:
    """Writes the pictures of folder `source` as the data set `out`, a folder that must be new.

    source: a folder of pictures; pictures in subfolders, whose names then are the classes; either
        of these under `train` and `test` (or `val`); or a folder with MNIST's IDX files.
    max_train, max_test: keep only that many, from the start.

    A picture that cannot be read is left out and named in the report. An interrupt leaves nothing
    at `out`. Raises FileNotFoundError where there are no pictures and FileExistsError when `out`
    is there.
    """
    source, out = Path(source).expanduser(), Path(out).expanduser()
    if out.exists():
        raise FileExistsError(f"{out} exists; give another --out, or remove it first.")
    if not source.is_dir():
        raise FileNotFoundError(f"{source} is not a folder; give --source a folder of pictures.")
    limits = {"train": max_train, "test": max_test}
    unreadable = {}
    if any(source.glob("*-images-idx3-ubyte*")):
        splits, classes = _idx_splits(source), None
    else:
        splits, classes = _folder_splits(source, unreadable)
    splits = {name: functools.partial(_first, read, limits[name]) for name, read in splits.items()}
    seen = {name: [p._replace(encoded=b"") for p in read()] for name, read in splits.items()}
    if not seen.get("train"):
        raise FileNotFoundError(
            f"{source} has no readable pictures ({len(unreadable)} unreadable); prepare reads "
            f"{', '.join(SUFFIXES)} and MNIST's IDX files."
        )
    if classes is None and seen["train"][0].label is not None:
        classes = [str(c) for c in range(1 + max(p.label for p in seen["train"]))]
    _write(out, splits, _features(seen, classes))
    kept = {name: len(pictures) for name, pictures in seen.items()}
    return Report(kept, classes, [f"{file}: {why}" for file, why in unreadable.items()])


def _first(read: Read, limit: int | None) -> Iterator[Picture]:
    return itertools.islice(read(), limit)


def _features(seen: dict[str, list[Picture]], classes: list[str] | None):
    every = [picture for pictures in seen.values() for picture in pictures]
    sizes = {picture.size for picture in every}
    height, width = sizes.pop() if len(sizes) == 1 else (None, None)
    shape = (height, width, max(picture.channels for picture in every))
    features = {"image": tfds.features.Image(shape=shape)}
    if classes is not None:
        features["label"] = tfds.features.ClassLabel(names=classes)
    return tfds.features.FeaturesDict(features)


def _folder_splits(source, unreadable):
    folders = {name: source / name for name in ("train", "test") if (source / name).is_dir()}
    for name in _TEST_NAMES:
        if "train" in folders and "test" not in folders and (source / name).is_dir():
            folders["test"] = source / name
    if "train" not in folders:
        folders = {"train": source}
    files = {name: sorted(_picture_files(folder)) for name, folder in folders.items()}
    classes = _classes(folders["train"], files["train"])

    def read(name):
        for file in files[name]:
            try:
                encoded, channels, size, _ = images.standard(file.read_bytes())
            except (OSError, SyntaxError, ValueError) as error:
                unreadable[file] = error
                continue
            label = None
            if classes is not None:
                label = classes.index(file.relative_to(folders[name]).parts[0])
            yield Picture(encoded, channels, size, label)

    return {name: lambda name=name: read(name) for name in folders}, classes


def _picture_files(folder: Path) -> Iterator[Path]:
    for path, _, names in os.walk(folder):
        yield from (Path(path, name) for name in names if name.lower().endswith(SUFFIXES))


def _classes(folder: Path, files: list[Path]) -> list[str] | None:
    """The names of the subfolders, where every picture is in one; None where some are not."""
    parts = [file.relative_to(folder).parts for file in files]
    if not parts or any(len(part) < 2 for part in parts):
        return None
    return sorted({part[0] for part in parts})


def _idx_splits(source):
    def read(prefix):
        (pixels,) = source.glob(f"{prefix}-images-idx3-ubyte*")
        labels = list(source.glob(f"{prefix}-labels-idx1-ubyte*"))
        numbers = _idx(labels[0]) if labels else None
        for row, image in enumerate(_idx(pixels)):
            encoded, channels, size, _ = images.encode(image)
            yield Picture(encoded, channels, size, None if numbers is None else int(numbers[row]))

    names = {"train": "train", "t10k": "test", "test": "test"}
    return {
        split: lambda prefix=prefix: read(prefix)
        for prefix, split in names.items()
        if any(source.glob(f"{prefix}-images-idx3-ubyte*"))
    }


def _idx(path: Path) -> np.ndarray:
    """The array of an IDX file of bytes, perhaps gzipped; raises ValueError for another file."""
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an IDX file of unsigned bytes; replace it.")
    rank = data[3]
    shape = np.frombuffer(data, ">i4", count=rank, offset=4)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * rank)
    if values.size != np.prod(shape):
        raise ValueError(f"{path} is cut off: {values.size} bytes of {np.prod(shape)}.")
    return values.reshape(shape)


def _write(out: Path, splits: dict[str, Read], features: tfds.features.FeaturesDict) -> None:
    """Writes beside `out` and renames, so that `out` is whole or not there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        builder = _Builder(splits, features, name=_name(out), data_dir=str(scratch))
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS speaks of downloads
            builder.download_and_prepare()
        os.replace(builder.data_dir, out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _name(out: Path) -> str:
    name = re.sub(r"\W+", "_", out.name.lower()).strip("_")
    return name if name[:1].isalpha() else f"data_{name}"


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Hands TFDS the encoded bytes, which it stores as they are."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, splits, features, *, name, data_dir):
        self.name = name  # what TFDS calls the files
        self._splits, self._features = splits, features
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=self._features, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        del dl_manager
        return {name: self._generate_examples(read) for name, read in self._splits.items()}

    def _generate_examples(self, read):
        for number, picture in enumerate(read()):
            label = {} if picture.label is None else {"label": picture.label}
            yield number, {"image": picture.encoded, **label}
