"""Which data sets there are: in the package, in a folder, or of TFDS, prepared where they are not."""

import difflib
from pathlib import Path

import tensorflow_datasets as tfds
from etils import epath

from byol_jax import errors

EMBEDDED = Path(__file__).parent / "embedded"

# The training pictures of data sets that are seldom prepared where their training is planned.
SIZES = {
    ("imagenet2012", "train"): 1_281_167,
    ("cifar10", "train"): 50_000,
    ("cifar100", "train"): 50_000,
}


def records(name: str, split: str, *, data_dir: str | None):
    """The records of a split, at random access, images encoded, and their features.

    Raises as open_source does.
    """
    builder = _builder(name, data_dir)
    splits = list(builder.info.splits)
    if not splits:
        _prepare(builder)
        splits = list(builder.info.splits)
    if split.split("[")[0] not in splits:
        raise errors.UserError(
            f"data set {name!r} has no split {split!r}; it has {', '.join(splits)}: change "
            "data.train_split or data.test_split ('train[90%:]' is a part), or evaluate nothing "
            "by evaluate.protocols=()."
        )
    is_encoded = isinstance(builder.info.features["image"], tfds.features.Image)
    decoders = {"image": tfds.decode.SkipDecoding()} if is_encoded else None
    return builder.as_data_source(split, decoders=decoders), builder.info.features


def known(name: str, split: str, *, data_dir: str | None):
    """The number of examples of a split and its features, without preparing anything.

    The number is None where the data set is not prepared and SIZES does not have it.
    """
    info = _builder(name, data_dir).info
    if info.splits:
        return info.splits[split].num_examples, info.features
    number = SIZES.get((name, split))
    if number is not None:
        print(
            f"{name} is not prepared here; its split {split!r} is known to have {number:,} examples."
        )
    return number, info.features


def is_prepared(folder: Path) -> bool:
    """Whether TFDS, or `prepare`, wrote this folder."""
    return (folder / "dataset_info.json").exists()


def is_tfrecord(builder: tfds.core.DatasetBuilder) -> bool:
    """Whether the files of a TFDS data set are TFRecord, which has no random access."""
    return builder.info.file_format == tfds.core.FileFormat.TFRECORD


def _builder(name, data_dir):
    folder = epath.Path(EMBEDDED / name)
    if not folder.is_dir() or not name:
        folder = epath.Path(name).expanduser()
    if folder.is_dir():
        return _from_folder(folder)
    known = tfds.list_builders(with_community_datasets=False)
    if name.split("/")[0].split(":")[0] not in known:
        embedded = sorted(folder.name for folder in EMBEDDED.iterdir() if folder.is_dir())
        near = difflib.get_close_matches(name, [*embedded, *known], n=3)
        raise errors.UserError(
            f"unknown data set {name!r}: there are {', '.join(embedded)} in the package, folders that "
            f"`byol_jax prepare` made (there is none at {folder.resolve()}), and the names of "
            f"TFDS; change data.name{' (near it: ' + ', '.join(near) + ')' if near else ''}."
        )
    _refuse_tfrecord(epath.Path(tfds.builder(name, data_dir=data_dir).data_dir))
    return tfds.builder(name, data_dir=data_dir, file_format="array_record")


def _from_folder(folder):
    if not is_prepared(folder):
        raise errors.UserError(
            f"{folder} is a folder, but not one that `byol_jax prepare` made; run "
            f"`python -m byol_jax prepare --source={folder} --out=…` and name its --out."
        )
    _refuse_tfrecord(folder)
    return tfds.builder_from_directory(folder)


def _refuse_tfrecord(folder):
    if is_prepared(folder) and is_tfrecord(tfds.builder_from_directory(folder)):
        raise errors.UserError(
            f"{folder} holds TFRecord files, which have no random access; convert them once, by "
            f"`python -m byol_jax prepare --source={folder} --out=…`, and name its --out."
        )


def _prepare(builder) -> None:
    """Downloads and prepares a data set of TFDS; what can go wrong is told with what to do."""
    print(f"{builder.name} is not in {builder.data_dir} yet: TFDS downloads and prepares it.")
    try:
        builder.download_and_prepare()
    except ImportError as error:
        purpose = f"TFDS prepares {builder.name!r} with tensorflow, once ({error})"
        raise errors.missing_extra("tfds", purpose) from error
    except AssertionError as error:  # its word for archives to be fetched by hand
        raise FileNotFoundError(
            f"TFDS cannot download {builder.name!r} itself: {error} Then start again with the same "
            "data.data_dir."
        ) from error
    except (OSError, tfds.download.DownloadError) as error:
        command = (
            f"tfds.builder('{builder.name}', data_dir='FOLDER', file_format='array_record')"
            ".download_and_prepare()"
        )
        raise OSError(
            f"TFDS could not download {builder.name!r}: {error}. Where the network reaches it, run "
            f'`python -c "import tensorflow_datasets as tfds; {command}"`, '
            "copy FOLDER here, and set data.data_dir to it."
        ) from error
