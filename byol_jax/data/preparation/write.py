"""Writing of data sets in TFDS's ArrayRecord format, without tensorflow."""

import contextlib
import functools
import io
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from byol_jax.data.preparation.convert import Work
from byol_jax.data.preparation.outcome import Report

# Yields the examples of a split. Each has an "image" (bytes or an array), and perhaps a "label".
Read = Callable[[], Iterator[dict]]


def features(
    shape: tuple[int | None, int | None, int], dtype: str, classes: list[str] | None
) -> tfds.features.FeaturesDict:
    """Returns the TFDS features of a data set of images.

    Args:
        shape: Height, width and channels; a height and width of None mean that the sizes differ.
        dtype: Name of the type of the pixels, "uint8" or "uint16".
        classes: Names of the classes; None without labels.

    Returns:
        The features `image` and, with classes, `label`. Images are encoded or compressed arrays,
        see `is_encoded`.
    """
    if is_encoded(shape[-1], dtype):
        image = tfds.features.Image(shape=shape)
    else:
        image = tfds.features.Tensor(shape=shape, dtype=np.dtype(dtype), encoding="zlib")
    if classes is None:
        return tfds.features.FeaturesDict({"image": image})
    label = tfds.features.ClassLabel(names=classes)
    return tfds.features.FeaturesDict({"image": image, "label": label})


def is_encoded(channels: int, dtype: str) -> bool:
    """Checks whether a data set stores its images as JPEG or PNG, not as compressed arrays.

    Args:
        channels: Number of channels of its images.
        dtype: Name of the type of their pixels.

    Returns:
        True for gray and RGB images of type uint8.
    """
    return dtype == "uint8" and channels in (1, 3)


def write(work: Work, splits: Mapping[str, Read], report: Report, scratch: Path) -> None:
    """Writes a data set and its report; an error or an interrupt leaves no incomplete output.

    Args:
        work: The output folder and the receiver of progress updates.
        splits: For each split, a function that yields its examples.
        report: The contents of the data set; written as JSON to its folder.
        scratch: Folder of intermediate results; deleted after success.
    """
    total = sum(report.kept.values())
    numbers = itertools.count(1)

    def counted(read: Read) -> Iterator[dict]:
        for example in read():
            work.progress.show("writing", next(numbers), total)
            yield example

    dataset_features = features(report.shape, report.dtype, report.classes)
    counted_splits = {split: functools.partial(counted, read) for split, read in splits.items()}
    tfds.disable_progress_bar()  # work.progress shows one
    try:
        folder = str(scratch / "written")
        builder = _Builder(counted_splits, dataset_features, name=_name(work.out), data_dir=folder)
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints messages about downloads
            builder.download_and_prepare()
        Path(builder.data_dir, report.FILE).write_text(report.json(), encoding="utf-8")
        # The rename comes last, so that the output is complete as soon as it exists.
        os.replace(builder.data_dir, work.out)
    finally:
        shutil.rmtree(scratch / "written", ignore_errors=True)
    shutil.rmtree(scratch)


def _name(out: Path) -> str:
    """Converts a folder's name to a name that TFDS accepts."""
    name = re.sub(r"\W+", "_", out.name.lower()).strip("_")
    return name if name[:1].isalpha() else f"data_{name}"


# TFDS's base class takes the argument, but its lazy imports hide it from type checkers.
class _Builder(  # pyright: ignore[reportGeneralTypeIssues, reportCallIssue]
    tfds.core.GeneratorBasedBuilder,
    skip_registration=True,  # pyright: ignore[reportCallIssue]
):
    """A TFDS builder that stores encoded images unchanged."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, splits, dataset_features, *, name, data_dir):
        self.name = name  # TFDS begins the names of the files with it
        self._splits = splits
        self._features = dataset_features
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=self._features, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        del dl_manager
        return {name: enumerate(read()) for name, read in self._splits.items()}

    def _generate_examples(self):
        raise NotImplementedError
