"""A split with random access: bundled with this package, in a folder, or from TFDS."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from byol_jax import errors
from byol_jax.data import crops, images

SMALL = 2**30  # bytes of decoded images


class Source:
    """The examples of one split of a data set, with random access.

    A source can be pickled for worker processes; the decoded images are not sent to them.

    Args:
        name: Name of the data set.
        split: Name of the split.
        records: The stored records, with random access.
        features: The TFDS features of a record.
        image_size: Side of the square images; None keeps the stored size.

    Attributes:
        name: Name of the data set.
        split: Name of the split.
        dtype: uint8 or uint16.
        num_channels: Number of channels.
        classes: Names of the classes; None without labels.
        num_classes: Number of classes; None without labels.
        sizes_differ: True if the stored images differ in size.
        has_size: True if all images have one size after resizing.
    """

    def __init__(
        self, name: str, split: str, records: Any, features: Any, *, image_size: int | None
    ):
        self.name = name
        self.split = split
        self._records = records
        self._image_size = image_size
        self.classes = list(features["label"].names) if "label" in features else None
        self.num_classes = None if self.classes is None else len(self.classes)
        *self._size, self.num_channels = features["image"].shape
        self.sizes_differ = None in self._size
        self.has_size = image_size is not None or not self.sizes_differ
        self.dtype = np.dtype(features["image"].np_dtype)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape (H, W, C) of every image.

        Raises:
            UserError: The images differ in size and there is no image_size.
        """
        if self._image_size is not None:
            return self._image_size, self._image_size, self.num_channels
        self.require_size()
        height, width = self._size
        return height, width, self.num_channels

    @property
    def is_small(self) -> bool:
        """True if all decoded images together have at most SMALL bytes."""
        return len(self) * int(np.prod(self.image_shape)) * self.dtype.itemsize <= SMALL

    def __len__(self) -> int:
        """Returns the number of examples."""
        return len(self._records)

    def __getstate__(self) -> dict:
        """Returns the state that is pickled for worker processes, without the decoded images."""
        return {name: value for name, value in self.__dict__.items() if name != "decoded"}

    def take(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """Reads examples.

        Args:
            index: Numbers of the examples, int [B].

        Returns:
            `image` [B, H, W, C], `index` int32 [B] and, if there are labels, `label` int32 [B].

        Raises:
            OSError: A file is damaged or missing.
        """
        records = self.read(index)
        image = np.empty((len(records), *self.image_shape), self.dtype)
        for row, record in zip(image, records, strict=True):
            row[...] = images.fit(self._decode(record["image"]), self.image_shape[:2])
        return self._example(index, records, image)

    def take_crops(
        self, index: np.ndarray, generators: Sequence[np.random.Generator], views: crops.Crops
    ) -> dict[str, np.ndarray]:
        """Reads examples, and cuts random crops from the full images.

        Args:
            index: Numbers of the examples, int [B].
            generators: Source of random numbers for each example.
            views: The crops to cut.

        Returns:
            As `take`, with `image` [B, V, h, w, C].

        Raises:
            OSError: A file is damaged or missing.
        """
        records = self.read(index)
        image = np.empty((len(records), len(views.boxes), *views.size, self.num_channels), np.uint8)
        for row, record, generator in zip(image, records, generators, strict=True):
            row[...] = crops.draw(record["image"], generator, views, channels=self.num_channels)
        return self._example(index, records, image)

    def read(self, index: np.ndarray | Sequence[int]) -> list[dict[str, Any]]:
        """Reads records as they are stored.

        Args:
            index: Numbers of the examples, int [B].

        Returns:
            The records, with encoded images.

        Raises:
            OSError: A file is damaged or missing.
        """
        try:
            return self._records.__getitems__([int(i) for i in index])
        except (RuntimeError, OSError) as error:  # a wrong checksum is a RuntimeError
            raise OSError(
                f"split {self.split!r} of data set {self.name!r} cannot be read ({error}), because "
                "a file is damaged or missing. Copy or prepare the data set again; the same "
                "command then continues from the newest checkpoint."
            ) from error

    def _decode(self, image):
        """Decodes a stored image, unless it is stored as an array."""
        return (
            images.decode(image, channels=self.num_channels) if isinstance(image, bytes) else image
        )

    def _example(self, index, records, image):
        example = {"image": image, "index": np.asarray(index, np.int32)}
        if self.num_classes is not None:
            example["label"] = np.array([record["label"] for record in records], np.int32)
        return example

    @functools.cached_property
    def decoded(self) -> dict[str, np.ndarray]:
        """All examples as `take` returns them, cached in memory."""
        return self.take(np.arange(len(self), dtype=np.int32))

    @property
    def examples(self) -> dict[str, np.ndarray]:
        """All decoded images and labels, for training that keeps the data set in device memory."""
        return {name: x for name, x in self.decoded.items() if name != "index"}

    def gather(self, index: np.ndarray) -> np.ndarray:
        """Reads images; a small data set is decoded only once.

        Args:
            index: Numbers of the examples, int [B].

        Returns:
            Images [B, H, W, C].
        """
        return self.decoded["image"][index] if self.is_small else self.take(index)["image"]

    @property
    def images(self) -> Any:
        """All images [N, H, W, C]: an array if they are small, else a view that decodes slices."""
        return self.decoded["image"] if self.is_small else _Sliced(self)

    @property
    def labels(self) -> np.ndarray:
        """All labels, int32 [N].

        Raises:
            UserError: The data set has no labels.
        """
        self.require_labels()
        if self.is_small:
            return self.decoded["label"]
        return np.array([self.read([i])[0]["label"] for i in range(len(self))], np.int32)

    def require_labels(self) -> int:
        """Checks that the data set has labels, and returns the number of classes.

        Raises:
            UserError: It has none.
        """
        if self.num_classes is None:
            raise errors.UserError(
                f"the data set {self.name!r} has no labels; choose a self-supervised method and "
                "set evaluate.protocols=(), or prepare the data set from subfolders named after "
                "the classes."
            )
        return self.num_classes

    def require_size(self) -> None:
        """Checks that all images have the same size after resizing.

        Raises:
            UserError: They differ in size and there is no image_size.
        """
        if self.sizes_differ and not self.has_size:
            raise errors.UserError(
                f"the images of the data set {self.name!r} differ in size; set data.image_size. "
                "The shorter side of every image is then resized to this number of pixels."
            )


class _Sliced:
    """The images of a source, decoded when they are sliced."""

    def __init__(self, source: Source):
        self._source = source

    def __len__(self):
        return len(self._source)

    def __getitem__(self, part: slice):
        return self._source.take(np.arange(*part.indices(len(self))))["image"]


class Reader(NamedTuple):
    """A function that reads the examples of one step from a source, for `batches`.

    Attributes:
        source: The source.
        crops: Random crops to cut on the host, which depend only on the seed, the step and the
            position in the batch; None reads whole images.
        seed: The seed of the run.
    """

    source: Source
    crops: crops.Crops | None
    seed: int

    def __call__(self, index: np.ndarray, step: int, row: np.ndarray) -> dict[str, np.ndarray]:
        """Reads the examples of one step.

        Args:
            index: Numbers of the examples, int32 [B].
            step: Number of the step.
            row: Positions of the examples in the global batch, int32 [B].

        Returns:
            Arrays [B, ...] by name, as Source.take returns them.
        """
        if self.crops is None:
            return self.source.take(index)
        generators = [np.random.default_rng((self.seed, step, int(number))) for number in row]
        return self.source.take_crops(index, generators, self.crops)


def open_source(
    name: str, split: str, *, data_dir: str | None = None, image_size: int | None = None
) -> Source:
    """Opens a split of a data set.

    Args:
        name: "fashion_mnist_10k" (part of the package), a folder that `prepare` wrote (any path
            that etils.epath opens), or the name of a TFDS data set, which is downloaded and
            prepared if necessary.
        split: Split in TFDS notation, such as "train" or "train[:90%]".
        data_dir: Folder of TFDS data sets; None is TFDS's default.
        image_size: Resize the shorter side to this length in pixels and crop the center. None keeps
            the stored size; images that differ in size can then be read only as crops.

    Returns:
        The source.

    Raises:
        UserError: The data set or the split is unknown, or TFDS needs a missing package to prepare
            the data set.
        OSError: TFDS cannot download the data set. The message says what to do.
    """
    from byol_jax.data import catalog  # imports TFDS, which worker processes do not need

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
    """Describes a split without preparing its data set; the result cannot be used to read examples.

    Args:
        name: Name or folder of the data set; see open_source.
        split: Split in TFDS notation.
        data_dir: Folder of TFDS data sets; None is TFDS's default.
        image_size: Side of the square images; None keeps the stored size.
        num_examples: Number of examples in the split; required if the data set is not prepared.

    Returns:
        A source with shapes, classes and length.

    Raises:
        UserError: The data set is unknown, or num_examples is missing.
    """
    from byol_jax.data import catalog

    known_examples, features = catalog.known(name, split, data_dir=data_dir)
    count = known_examples if num_examples is None else num_examples
    if count is None:
        raise errors.UserError(
            f"the data set {name!r} is not prepared, so its number of examples is unknown; prepare "
            "it or, for the data set to train on, set --num_examples."
        )
    return Source(name, split, range(count), features, image_size=image_size)
