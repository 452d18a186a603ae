"""TFDS folders of TFRecord files, read without tensorflow, from the first example to the last."""

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
    """Whether `source` is a folder that TFDS prepared."""
    return catalog.is_prepared(source)


def prepare(work: Work) -> Report:
    """Writes the data set of a TFDS folder of TFRecord files; see `_open` for what it must hold."""
    info = _open(work.source)
    sizes = {split: part.num_examples for split, part in info.splits.items()}
    kept = {split: min(work.limits.get(split) or size, size) for split, size in sizes.items()}
    classes = info.features["label"].names if "label" in info.features else None
    shape = tuple(info.features["image"].shape)
    report = Report(kept, classes, shape, "uint8", sum(sizes.values()))

    def examples(split):
        return itertools.islice(_examples(info, split), kept[split])

    splits = {split: functools.partial(examples, split) for split in kept}
    write.write(work, splits, report, convert.unfinished(work, str(work.source)))
    return report


def _open(source: Path) -> tfds.core.DatasetInfo:
    """What TFDS says of a folder of pictures in TFRecord files.

    Raises ValueError where the examples hold no pictures of uint8 in grey or RGB as `image`, or a
    `label` that is no class.
    """
    builder = tfds.builder_from_directory(source)
    if not catalog.is_tfrecord(builder):
        raise errors.UserError(
            f"{source} is a data set of {builder.info.file_format.value} files; prepare converts "
            "those of tfrecord, and array_record needs no conversion: name it as data.name."
        )
    info = builder.info
    found = dict(info.features.items())
    image, label = found.get("image"), found.get("label")
    usual = isinstance(image, tfds.features.Image) and image.np_dtype == "uint8"
    usual = usual and isinstance(label, tfds.features.ClassLabel | None)
    if not usual or image.shape[-1] not in (1, 3):
        raise errors.UserError(
            f"{source} has the features {info.features}; prepare converts data sets with `image`, "
            "a uint8 picture of 1 or 3 channels, and perhaps `label`, a ClassLabel."
        )
    return info


def _examples(info: tfds.core.DatasetInfo, split: str) -> Iterator[dict]:
    """The examples of a split: encoded pictures as they are, and the label if any.

    Raises ValueError when there are not as many as the folder says.
    """
    decoders, count = {"image": tfds.decode.SkipDecoding()}, 0
    for file in info.splits[split].filepaths:
        for record in records(Path(file)):
            example = info.features.deserialize_example_np(record, decoders=decoders)
            yield {name: example[name] for name in ("image", "label") if name in example}
            count += 1
    if count != info.splits[split].num_examples:
        raise errors.UserError(
            f"{info.data_dir} holds {count} examples of {split!r} and says that there are "
            f"{info.splits[split].num_examples}; download or prepare it again."
        )


def records(file: Path) -> Iterator[bytes]:
    """The records of a TFRecord file: length, checksum, bytes, checksum; the sums are not tested.

    Raises ValueError when the file is cut off.
    """
    with file.open("rb") as stream:
        while head := stream.read(12):
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
            record = stream.read(length)
            if len(stream.read(4)) < 4:
                raise errors.UserError(f"{file} is cut off; download or prepare it again.")
            yield record
