"""Writes a data set as TFDS's ArrayRecord, without tensorflow: whole, or not at all."""

import contextlib
import functools
import io
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from byol_jax.data.preparation.convert import Work
from byol_jax.data.preparation.outcome import Report

Read = Callable[[], Iterator[dict]]  # the examples of a split: image (bytes or array), label if any


def features(
    shape: tuple[int | None, int | None, int], dtype: str, classes: list[str] | None
) -> tfds.features.FeaturesDict:
    """The features of pictures of one shape, None where they differ.

    uint8 in grey or RGB are encoded pictures; other types and channels are compressed arrays.
    """
    if is_encoded(shape[-1], dtype):
        found = {"image": tfds.features.Image(shape=shape)}
    else:
        found = {"image": tfds.features.Tensor(shape=shape, dtype=np.dtype(dtype), encoding="zlib")}
    if classes is not None:
        found["label"] = tfds.features.ClassLabel(names=classes)
    return tfds.features.FeaturesDict(found)


def is_encoded(channels: int, dtype: str) -> bool:
    """Whether pictures are stored as JPEG or PNG, not as arrays."""
    return dtype == "uint8" and channels in (1, 3)


def write(work: Work, splits: dict[str, Read], report: Report, scratch: Path) -> None:
    """Writes into the folder `scratch` and renames, so that `out` is whole or not there.

    The report goes beside the data; `scratch` is removed at the end.
    """
    total, number = sum(report.kept.values()), itertools.count(1)

    def counted(read):
        for example in read():
            work.progress.show("writing", next(number), total)
            yield example

    described = features(report.shape, report.dtype, report.classes)
    splits = {split: functools.partial(counted, read) for split, read in splits.items()}
    tfds.disable_progress_bar()  # there is one already
    try:
        place = str(scratch / "written")
        builder = _Builder(splits, described, name=_name(work.out), data_dir=place)
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS speaks of downloads
            builder.download_and_prepare()
        Path(builder.data_dir, report.FILE).write_text(report.json(), encoding="utf-8")
        os.replace(builder.data_dir, work.out)
    finally:
        shutil.rmtree(scratch / "written", ignore_errors=True)
    shutil.rmtree(scratch)


def _name(out: Path) -> str:
    name = re.sub(r"\W+", "_", out.name.lower()).strip("_")
    return name if name[:1].isalpha() else f"data_{name}"


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Hands TFDS the encoded bytes, which it stores as they are."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, splits, described, *, name, data_dir):
        self.name = name  # what TFDS calls the files
        self._splits, self._features = splits, described
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=self._features, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        del dl_manager
        return {name: enumerate(read()) for name, read in self._splits.items()}

    def _generate_examples(self):
        raise NotImplementedError("the generators come from _split_generators")
