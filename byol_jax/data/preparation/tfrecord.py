"""Conversion of TFDS data sets from TFRecord to ArrayRecord files, without tensorflow."""

import functools
import itertools
import struct
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds

from byol_jax import errors
from byol_jax.data import catalog
from byol_jax.data.preparation import convert, write
from byol_jax.data.preparation.convert import Work
from byol_jax.data.preparation.outcome import Report


def is_here(source: Path) -> bool:
    """Checks whether a folder is a data set that TFDS or `prepare` wrote.

    Args:
        source: The folder.

    Returns:
        True if it is a data set, in any file format.
    """
    return catalog.is_prepared(source)


def prepare(work: Work) -> Report:
    """Converts a TFDS data set of TFRecord files to a data set that allows random access.

    Args:
        work: The folder, the output folder and the largest number of images of each split.

    Returns:
        The number of images in each split, their classes and their shape.

    Raises:
        UserError: The data set has another file format, other features or a damaged file.
    """
    info = _open(work.source)
    sizes = {split: part.num_examples for split, part in info.splits.items()}
    counts = {split: min(work.limits.get(split) or size, size) for split, size in sizes.items()}
    classes = info.features["label"].names if "label" in info.features else None
    report = Report(
        kept=counts,
        classes=classes,
        shape=tuple(info.features["image"].shape),
        dtype="uint8",
        found=sum(sizes.values()),
    )

    def examples(split: str) -> Iterator[dict]:
        return itertools.islice(_examples(info, split), counts[split])

    splits = {split: functools.partial(examples, split) for split in counts}
    write.write(work, splits, report, convert.unfinished(work, str(work.source)))
    return report


def _open(source: Path) -> tfds.core.DatasetInfo:
    """Reads the description of a data set, and checks its file format and its features."""
    builder = tfds.builder_from_directory(source)
    info = builder.info
    if not catalog.is_tfrecord(builder):
        file_format = info.file_format.value
        raise errors.UserError(
            f"{source} is a data set of {file_format} files, but prepare converts only tfrecord "
            "files; a data set of array_record files needs no conversion: set data.name to its "
            "folder."
        )
    features = dict(info.features.items())
    if not (_is_image(features.get("image")) and _is_label(features.get("label"))):
        raise errors.UserError(
            f"{source} has the features {info.features}. `prepare` needs the feature `image`, a "
            "uint8 Image with 1 or 3 channels. If there is a feature `label`, it must be a "
            "ClassLabel."
        )
    return info


def _is_image(feature) -> bool:
    return (
        isinstance(feature, tfds.features.Image)
        and feature.np_dtype == "uint8"
        and feature.shape[-1] in (1, 3)
    )


def _is_label(feature) -> bool:
    return feature is None or isinstance(feature, tfds.features.ClassLabel)


def _examples(info: tfds.core.DatasetInfo, split: str) -> Iterator[dict]:
    """Yields the examples of a split: the encoded image, and the label if there is one."""
    decoders = {"image": tfds.decode.SkipDecoding()}
    count = 0
    for file in info.splits[split].filepaths:
        for record in records(Path(file)):
            example = info.features.deserialize_example_np(record, decoders=decoders)
            yield {name: example[name] for name in ("image", "label") if name in example}
            count += 1
    expected_count = info.splits[split].num_examples
    if count != expected_count:
        raise errors.UserError(
            f"the files of split {split!r} in {info.data_dir} contain {count} examples instead of "
            f"{expected_count}; download or prepare the data set again."
        )


def records(file: Path) -> Iterator[bytes]:
    """Reads the records of a TFRecord file in order, without verifying their checksums.

    Args:
        file: A file of records, each stored as length, checksum, bytes and checksum.

    Yields:
        The bytes of each record.

    Raises:
        UserError: The file is truncated.
    """
    with file.open("rb") as stream:
        while head := stream.read(12):
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
            record = stream.read(length)
            if len(stream.read(4)) < 4:
                raise errors.UserError(
                    f"{file} is truncated; download or prepare the data set again."
                )
            yield record
