"""Finds data sets: in the package, in folders that `prepare` wrote, and in TFDS."""

import difflib
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

from byol_jax import errors

EMBEDDED = Path(__file__).parent / "embedded"

# Sizes of training splits, for plans on machines where the data sets are not prepared.
SIZES = {
    ("imagenet2012", "train"): 1_281_167,
    ("cifar10", "train"): 50_000,
    ("cifar100", "train"): 50_000,
}


def records(name: str, split: str, *, data_dir: str | None) -> tuple[Any, Any]:
    """Opens the records of a split with random access; prepares a TFDS data set if necessary.

    Args:
        name: Name or folder of the data set; see open_source.
        split: Split in TFDS notation.
        data_dir: Folder of TFDS data sets; None is TFDS's default.

    Returns:
        The records, with encoded images, and the TFDS features that describe them.

    Raises:
        UserError: The data set or the split is unknown, or TFDS needs a missing package to prepare
            the data set.
        OSError: TFDS cannot download the data set.
    """
    builder = _builder(name, data_dir)
    splits = list(builder.info.splits)
    if not splits:
        _prepare(builder)
        splits = list(builder.info.splits)
    if split.split("[")[0] not in splits:
        names = ", ".join(splits)
        raise errors.UserError(
            f"the data set {name!r} has no split {split!r}; it has {names}. Change "
            "data.train_split or data.test_split; a part of a split is also valid, such as "
            "'train[90%:]'. To skip the evaluation, set evaluate.protocols=()."
        )
    is_encoded = isinstance(builder.info.features["image"], tfds.features.Image)
    decoders = {"image": tfds.decode.SkipDecoding()} if is_encoded else None
    return builder.as_data_source(split, decoders=decoders), builder.info.features


def known(name: str, split: str, *, data_dir: str | None) -> tuple[int | None, Any]:
    """Returns the metadata of a split without preparing its data set.

    Args:
        name: Name or folder of the data set; see open_source.
        split: Split in TFDS notation.
        data_dir: Folder of TFDS data sets; None is TFDS's default.

    Returns:
        The number of examples, None if it is unknown, and the TFDS features.

    Raises:
        UserError: The data set is unknown.
    """
    info = _builder(name, data_dir).info
    if info.splits:
        return info.splits[split].num_examples, info.features
    num_examples = SIZES.get((name, split))
    if num_examples is not None:
        print(f"{name} is not prepared here; its split {split!r} has {num_examples:,} examples.")
    return num_examples, info.features


def is_prepared(folder: Path | epath.Path) -> bool:
    """Checks whether a folder was written by TFDS or `prepare`.

    Args:
        folder: The folder.

    Returns:
        True if the folder contains a prepared data set.
    """
    return (folder / "dataset_info.json").exists()


def is_tfrecord(builder: tfds.core.DatasetBuilder) -> bool:
    """Checks whether a TFDS data set consists of TFRecord files, which have no random access.

    Args:
        builder: Builder of the data set.

    Returns:
        True for TFRecord files.
    """
    return builder.info.file_format == tfds.core.FileFormat.TFRECORD


def _builder(name, data_dir):
    folder = epath.Path(EMBEDDED / name)
    if not folder.is_dir() or not name:
        folder = epath.Path(name).expanduser()
    if folder.is_dir():
        return _from_folder(folder)
    tfds_names = tfds.list_builders(with_community_datasets=False)
    if name.split("/")[0].split(":")[0] not in tfds_names:
        embedded = sorted(folder.name for folder in EMBEDDED.iterdir() if folder.is_dir())
        similar = difflib.get_close_matches(name, [*embedded, *tfds_names], n=3)
        hint = f" Similar names: {', '.join(similar)}." if similar else ""
        in_package = ", ".join(embedded)
        raise errors.UserError(
            f"unknown data set {name!r}: the package contains {in_package}, {folder.resolve()} is "
            "not a folder, and TFDS has no data set of this name. Change "
            f"data.name, or prepare a folder with `byol_jax prepare`.{hint}"
        )
    _refuse_tfrecord(epath.Path(tfds.builder(name, data_dir=data_dir).data_dir))
    return tfds.builder(name, data_dir=data_dir, file_format="array_record")


def _from_folder(folder):
    if not is_prepared(folder):
        raise errors.UserError(
            f"{folder} is not a folder that `byol_jax prepare` wrote; run `python -m byol_jax "
            f"prepare --source={folder} --out=…`, and set data.name to the folder given as --out."
        )
    _refuse_tfrecord(folder)
    return tfds.builder_from_directory(folder)


def _refuse_tfrecord(folder):
    if is_prepared(folder) and is_tfrecord(tfds.builder_from_directory(folder)):
        raise errors.UserError(
            f"{folder} contains TFRecord files, which have no random access; convert them once "
            f"with `python -m byol_jax prepare --source={folder} --out=…`, and set data.name to "
            "the folder given as --out."
        )


def _prepare(builder) -> None:
    """Downloads and prepares a TFDS data set; if that fails, the error says what to do."""
    print(f"{builder.name} is not yet in {builder.data_dir}; TFDS downloads and prepares it.")
    try:
        builder.download_and_prepare()
    except ImportError as error:
        purpose = f"TFDS needs tensorflow to prepare {builder.name!r} once ({error})"
        raise errors.missing_extra("tfds", purpose) from error
    except AssertionError as error:  # TFDS's error for archives that must be downloaded by hand
        raise FileNotFoundError(
            f"TFDS cannot download {builder.name!r} automatically. {error} Afterwards, run the "
            "same command again with the same data.data_dir."
        ) from error
    except (OSError, tfds.download.DownloadError) as error:
        command = (
            f"tfds.builder('{builder.name}', data_dir='FOLDER', file_format='array_record')"
            ".download_and_prepare()"
        )
        raise OSError(
            f"TFDS could not download {builder.name!r}: {error}. On a machine with network access, "
            f'run `python -c "import tensorflow_datasets as tfds; {command}"`. Then copy the '
            "folder FOLDER to this machine, and set data.data_dir to its path."
        ) from error
