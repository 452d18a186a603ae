"""A data set's split at random access, whether it came with the package, a folder, or from TFDS."""

import difflib
import functools
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from byol_jax.data import images, tfrecord

EMBEDDED = Path(__file__).parent / "embedded"
_CACHED_BYTES = 2**30  # a split that decodes to less stays in memory


class Source:
    """The examples of one split: `take` reads some, `images` and `labels` all.

    name, split: as they were asked for.  image_shape: (H, W, C) of every image.  dtype: theirs,
    uint8 or uint16.  num_classes: None where the data has no labels.
    """

    def __init__(self, name: str, split: str, records, features, *, image_size: int | None):
        self.name, self.split = name, split
        self._records = records
        self.num_classes = features["label"].num_classes if "label" in features else None
        self.image_shape = _image_shape(name, features["image"].shape, image_size)
        self.dtype = np.dtype(features["image"].np_dtype)
        size = int(np.prod(self.image_shape)) * self.dtype.itemsize
        self._keep = len(records) * size <= _CACHED_BYTES

    def __len__(self) -> int:
        """The number of examples."""
        return len(self._records)

    def take(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at index [B]: image [B, H, W, C], index int32, label int32 if any."""
        index = np.asarray(index, np.int32)
        if self._keep:
            read, labels = self._decoded
            batch = {"image": read[index], "label": labels[index]}
        else:
            batch = self._read(index)
        if self.num_classes is None:
            del batch["label"]
        return {**batch, "index": index}

    @property
    def images(self):
        """All images [N, H, W, C], in memory or read as they are sliced."""
        return self._decoded[0] if self._keep else _Sliced(self)

    @property
    def labels(self) -> np.ndarray:
        """All labels, int32 [N]; raises ValueError when the data has none."""
        self.require_labels()
        if self._keep:
            return self._decoded[1]
        return np.array([self._records[i]["label"] for i in range(len(self))], np.int32)

    def require_labels(self) -> None:
        """Raises ValueError when the data has no labels."""
        if self.num_classes is None:
            raise ValueError(
                f"data set {self.name!r} has no labels; choose a self-supervised method and "
                "evaluate.protocols=(), or prepare it from subfolders named after the classes."
            )

    @functools.cached_property
    def _decoded(self):
        batch = self._read(np.arange(len(self), dtype=np.int32))
        return batch["image"], batch["label"]

    def _read(self, index):
        batch = {
            "image": np.empty((len(index), *self.image_shape), self.dtype),
            "label": np.zeros(len(index), np.int32),
        }
        for row, record in enumerate(self._records.__getitems__([int(i) for i in index])):
            image = record["image"]
            if isinstance(image, bytes):
                image = images.decode(image, channels=self.image_shape[-1])
            batch["image"][row] = images.fit(image, self.image_shape[:2])
            batch["label"][row] = record.get("label", 0)
        return batch


class _Sliced:
    def __init__(self, source: Source):
        self._source = source

    def __len__(self):
        return len(self._source)

    def __getitem__(self, part: slice):
        return self._source.take(np.arange(*part.indices(len(self))))["image"]


def open_source(
    name: str, split: str, *, data_dir: str | None = None, image_size: int | None = None
) -> Source:
    """Opens a split of a data set.

    name: one that came with the package, a folder that `prepare` made, or a name of TFDS, prepared
        in data_dir. split: as TFDS writes them, "train" or "train[:90%]". image_size: resize the
        shorter side and cut the center on loading; needed where pictures differ in size.

    Raises ValueError for an unknown data set or split, and where image_size is missing.
    """
    builder = _builder(name, data_dir)
    splits = list(builder.info.splits)
    if not splits:
        raise ValueError(f"data set {name!r} holds no examples in {builder.data_dir}; prepare it.")
    if split.split("[")[0] not in splits:
        raise ValueError(
            f"data set {name!r} has no split {split!r}; it has {', '.join(splits)}: change "
            "data.train_split or data.test_split ('train[90%:]' is a part), or evaluate nothing "
            "by evaluate.protocols=()."
        )
    is_encoded = isinstance(builder.info.features["image"], tfds.features.Image)
    decoders = {"image": tfds.decode.SkipDecoding()} if is_encoded else None
    records = builder.as_data_source(split, decoders=decoders)
    return Source(name, split, records, builder.info.features, image_size=image_size)


def _builder(name, data_dir):
    folder = EMBEDDED / name
    if not folder.is_dir() or not name:
        folder = Path(name).expanduser()
    if folder.is_dir():
        return _from_folder(folder)
    known = tfds.list_builders(with_community_datasets=False)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        embedded = ", ".join(sorted(f.name for f in EMBEDDED.iterdir() if f.is_dir()))
        raise ValueError(
            f"unknown data set {name!r}: there are {embedded} in the package, folders that "
            f"`byol_jax prepare` made (there is none at {folder.absolute()}), and the names of "
            f"TFDS{', such as ' + ', '.join(near) if near else ''}; change data.name."
        )
    _refuse_tfrecord(Path(tfds.builder(name, data_dir=data_dir).data_dir))
    return tfds.builder(name, data_dir=data_dir, file_format="array_record")


def _from_folder(folder):
    if not (folder / "dataset_info.json").exists():
        raise ValueError(
            f"{folder} is a folder, but not one that `byol_jax prepare` made; run "
            f"`python -m byol_jax prepare --source={folder} --out=…` and name its --out."
        )
    _refuse_tfrecord(folder)
    return tfds.builder_from_directory(folder)


def _refuse_tfrecord(folder):
    if tfrecord.is_here(folder) and tfrecord.is_tfrecord(tfds.builder_from_directory(folder)):
        raise ValueError(
            f"{folder} holds TFRecord files, which have no random access; convert them once, by "
            f"`python -m byol_jax prepare --source={folder} --out=…`, and name its --out."
        )


def _image_shape(name, shape, image_size):
    if image_size is not None:
        return (image_size, image_size, shape[-1])
    if None in shape:
        raise ValueError(
            f"the pictures of data set {name!r} differ in size; set data.image_size to the pixels "
            "that their shorter side shall have."
        )
    return tuple(shape)
