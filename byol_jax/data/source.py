"""A data set's split at random access, whether it came with the package, a folder, or from TFDS."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from byol_jax import errors
from byol_jax.data import crops, images

SMALL = 2**30


class Source:
    """The examples of one split: `take` reads some, `decoded` all at once.

    name, split: as they were asked for.  dtype: uint8 or uint16.  classes: their names, and
    num_classes, their number: None where the data has no labels.  sizes_differ: those of the
    pictures, as they are stored; has_size: yet they are one when read. It pickles: workers get
    the way to the records, not what was read.
    """

    def __init__(self, name: str, split: str, records, features, *, image_size: int | None):
        self.name, self.split = name, split
        self._records, self._image_size = records, image_size
        self.classes = list(features["label"].names) if "label" in features else None
        self.num_classes = None if self.classes is None else len(self.classes)
        *self._size, self.num_channels = features["image"].shape
        self.sizes_differ = None in self._size
        self.has_size = image_size is not None or not self.sizes_differ
        self.dtype = np.dtype(features["image"].np_dtype)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image; raises ValueError where they differ and no size was given."""
        if self._image_size is not None:
            return self._image_size, self._image_size, self.num_channels
        self.require_size()
        return *self._size, self.num_channels

    @property
    def is_small(self) -> bool:
        """Whether all images, decoded, take at most SMALL bytes."""
        return len(self) * int(np.prod(self.image_shape)) * self.dtype.itemsize <= SMALL

    def __len__(self) -> int:
        """The number of examples."""
        return len(self._records)

    def __getstate__(self) -> dict:
        """What workers get: all but the decoded images."""
        return {name: value for name, value in self.__dict__.items() if name != "decoded"}

    def take(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at index [B]: image [B, H, W, C], index int32, label int32 if any."""
        records = self.read(index)
        image = np.empty((len(records), *self.image_shape), self.dtype)
        for row, record in zip(image, records, strict=True):
            row[...] = images.fit(self._decode(record["image"]), self.image_shape[:2])
        return self._example(index, records, image)

    def take_crops(
        self, index: np.ndarray, generators: Sequence[np.random.Generator], views: crops.Crops
    ) -> dict[str, np.ndarray]:
        """As `take`, but image [B, V, h, w, C]: random crops of each picture in its full size."""
        records = self.read(index)
        image = np.empty((len(records), len(views.boxes), *views.size, self.num_channels), np.uint8)
        for row, record, generator in zip(image, records, generators, strict=True):
            row[...] = crops.draw(record["image"], generator, views, channels=self.num_channels)
        return self._example(index, records, image)

    def read(self, index: np.ndarray) -> list[dict]:
        """The records at index [B] as they are stored; raises OSError where a file is damaged."""
        try:
            return self._records.__getitems__([int(i) for i in index])
        except (RuntimeError, OSError) as error:  # RuntimeError where a checksum does not fit
            raise OSError(
                f"split {self.split!r} of data set {self.name!r} cannot be read ({error}): a file of "
                "it is damaged or missing. Copy the data set here again, or prepare it anew; the "
                "same command then goes on from the newest checkpoint."
            ) from error

    def _decode(self, image):
        """Pictures of other than grey and RGB of 8 bits are stored as arrays."""
        return (
            images.decode(image, channels=self.num_channels) if isinstance(image, bytes) else image
        )

    def _example(self, index, records, image):
        found = {"image": image, "index": np.asarray(index, np.int32)}
        if self.num_classes is not None:
            found["label"] = np.array([record["label"] for record in records], np.int32)
        return found

    @functools.cached_property
    def decoded(self) -> dict[str, np.ndarray]:
        """All examples as `take` gives them, kept in memory: num_bytes and a little more."""
        return self.take(np.arange(len(self), dtype=np.int32))

    @property
    def examples(self) -> dict[str, np.ndarray]:
        """The decoded images and labels, without their index: what resident training gathers from."""
        return {name: x for name, x in self.decoded.items() if name != "index"}

    def gather(self, index: np.ndarray) -> np.ndarray:
        """The images at index [B], [B, H, W, C], decoded once where all are small."""
        return self.decoded["image"][index] if self.is_small else self.take(index)["image"]

    @property
    def images(self):
        """All images [N, H, W, C], decoded once where they are small, else as they are sliced."""
        return self.decoded["image"] if self.is_small else _Sliced(self)

    @property
    def labels(self) -> np.ndarray:
        """All labels, int32 [N]; raises ValueError when the data has none."""
        self.require_labels()
        if self.is_small:
            return self.decoded["label"]
        return np.array([self.read([i])[0]["label"] for i in range(len(self))], np.int32)

    def require_labels(self) -> None:
        """Raises ValueError when the data has no labels."""
        if self.num_classes is None:
            raise errors.UserError(
                f"data set {self.name!r} has no labels; choose a self-supervised method and "
                "evaluate.protocols=(), or prepare it from subfolders named after the classes."
            )

    def require_size(self) -> None:
        """Raises UserError when the pictures differ in size and none was given to make them one."""
        if self.sizes_differ and not self.has_size:
            raise errors.UserError(
                f"the pictures of data set {self.name!r} differ in size; set data.image_size to "
                "the length in pixels that their shorter side is resized to."
            )


class _Sliced:
    def __init__(self, source: Source):
        self._source = source

    def __len__(self):
        return len(self._source)

    def __getitem__(self, part: slice):
        return self._source.take(np.arange(*part.indices(len(self))))["image"]


class Reader(NamedTuple):
    """What workers call for `batches`: take(index [B], step, row [B]) of a source.

    crops: cut them on the host, by draws that depend on the seed, the step and the row alone.
    """

    source: Source
    crops: crops.Crops | None
    seed: int

    def __call__(self, index, step: int, row) -> dict[str, np.ndarray]:
        """The examples of one step."""
        if self.crops is None:
            return self.source.take(index)
        generators = [np.random.default_rng((self.seed, step, int(number))) for number in row]
        return self.source.take_crops(index, generators, self.crops)


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
    from byol_jax.data import catalog  # TFDS, for which workers need not wait

    records, features = catalog.records(name, split, data_dir=data_dir)
    return Source(name, split, records, features, image_size=image_size)


def outline(
    name: str,
    split: str,
    *,
    data_dir: str | None = None,
    image_size: int | None = None,
    num_examples: int | None = None,
) -> Source:
    """As open_source, but nothing is prepared and nothing can be read: what is known beforehand.

    num_examples: of the split; needed where the data set is not prepared.

    Raises ValueError for an unknown data set, and where num_examples is missing.
    """
    from byol_jax.data import catalog

    found, features = catalog.known(name, split, data_dir=data_dir)
    if num_examples is None and found is None:
        raise errors.UserError(
            f"data set {name!r} is not prepared, so that the number of its examples is not known; "
            "give it as --num_examples."
        )
    count = found if num_examples is None else num_examples
    return Source(name, split, range(count), features, image_size=image_size)
