"""A data set's split at random access, whether it came with the package, a folder, or from TFDS."""

import functools

import numpy as np

from byol_jax.data import catalog, images


class Source:
    """The examples of one split: `take` reads some, `decoded` all at once.

    name, split: as they were asked for.  image_shape: (H, W, C) of every image.  num_classes: None
    where the data has no labels.  num_bytes: of all its images, decoded. It pickles: workers get
    the way to the records, not what was read.
    """

    def __init__(self, name: str, split: str, records, features, *, image_size: int | None):
        self.name, self.split = name, split
        self._records = records
        self.num_classes = features["label"].num_classes if "label" in features else None
        self.image_shape = _image_shape(name, features["image"].shape, image_size)
        self.num_bytes = len(records) * int(np.prod(self.image_shape))

    def __len__(self) -> int:
        """The number of examples."""
        return len(self._records)

    def __getstate__(self) -> dict:
        """What workers get: all but the decoded images."""
        return {name: value for name, value in self.__dict__.items() if name != "decoded"}

    def take(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at index [B]: image uint8 [B, H, W, C], index int32, label int32 if any."""
        index = np.asarray(index, np.int32)
        batch = {"image": np.empty((len(index), *self.image_shape), np.uint8), "index": index}
        records = self._records.__getitems__([int(i) for i in index])
        for row, record in enumerate(records):
            image = images.decode(record["image"], channels=self.image_shape[-1])
            batch["image"][row] = images.fit(image, self.image_shape[:2])
        if self.num_classes is not None:
            batch["label"] = np.array([record["label"] for record in records], np.int32)
        return batch

    @functools.cached_property
    def decoded(self) -> dict[str, np.ndarray]:
        """All examples as `take` gives them, kept in memory: num_bytes and a little more."""
        return self.take(np.arange(len(self), dtype=np.int32))

    @property
    def examples(self) -> dict[str, np.ndarray]:
        """The decoded images and labels, without their index: what resident training gathers from."""
        return {name: x for name, x in self.decoded.items() if name != "index"}

    @property
    def images(self):
        """All images [N, H, W, C], read as they are sliced unless `decoded` has them."""
        return self.decoded["image"] if "decoded" in self.__dict__ else _Sliced(self)

    @property
    def labels(self) -> np.ndarray:
        """All labels, int32 [N]; raises ValueError when the data has none."""
        self.require_labels()
        if "decoded" in self.__dict__:
            return self.decoded["label"]
        return np.array([self._records[i]["label"] for i in range(len(self))], np.int32)

    def require_labels(self) -> None:
        """Raises ValueError when the data has no labels."""
        if self.num_classes is None:
            raise ValueError(
                f"data set {self.name!r} has no labels; choose a self-supervised method and "
                "evaluate.protocols=(), or prepare it from subfolders named after the classes."
            )


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

    name: one that came with the package, a folder that `prepare` made, on any path that etils.epath
        opens, or a name of TFDS, in data_dir, where it is downloaded and prepared if it is not
        there. split: as TFDS writes them, "train" or "train[:90%]". image_size: resize the shorter
        side and cut the center on loading; needed where pictures differ in size.

    Raises ValueError for an unknown data set or split, and where image_size is missing; ImportError
    and OSError where a data set of TFDS cannot be prepared, with what to do.
    """
    records, features = catalog.records(name, split, data_dir=data_dir)
    return Source(name, split, records, features, image_size=image_size)


def _image_shape(name, shape, image_size):
    if image_size is not None:
        return (image_size, image_size, shape[-1])
    if None in shape:
        raise ValueError(
            f"the pictures of data set {name!r} differ in size; set data.image_size to the pixels "
            "that their shorter side shall have."
        )
    return tuple(shape)
