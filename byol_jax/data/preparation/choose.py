"""Selection of the images that form a data set, their splits, and their common shape and type."""

import collections
from typing import NamedTuple

import numpy as np

from byol_jax.data import images
from byol_jax.data.preparation import folder
from byol_jax.data.preparation.convert import Converted
from byol_jax.data.preparation.write import is_encoded


class Choice(NamedTuple):
    """The images that form a data set, and the reasons why other images are excluded.

    A row is the position of an image in the list of all image files.

    Attributes:
        rows: Rows of the images in each split, in order.
        shape: Height, width and channels of the images; a height and width of None mean that the
            sizes differ.
        dtype: Name of the type of the pixels, "uint8" or "uint16".
        unreadable: Reason by row, for files that are unreadable.
        left_out: Reason by row, for readable images that do not fit into the data set.
        duplicates: For each image whose pixels occur before, the row of the first such image.
    """

    rows: dict[str, list[int]]
    shape: tuple[int | None, int | None, int]
    dtype: str
    unreadable: dict[int, str]
    left_out: dict[int, str]
    duplicates: dict[int, int]


def choose(
    entries: list[folder.Entry],
    converted: list[Converted],
    *,
    test_fraction: float | None,
    drop_duplicates: bool,
) -> Choice | None:
    """Selects the images that form a data set.

    Gray and RGB images can be mixed; the data set is then RGB. Otherwise all images must have the
    same number of channels, and the most frequent number is selected. The pixels have 16 bits if
    all images do; otherwise 16-bit images are scaled to 8 bits.

    Args:
        entries: The image files.
        converted: The result of reading each file.
        test_fraction: Fraction of the distinct images to use as the test split, in (0, 1); None
            takes the splits of the entries.
        drop_duplicates: Whether to keep only the first of several images with equal pixels.

    Returns:
        The selection; None if no image is readable.
    """
    unreadable = {row: image.error for row, image in enumerate(converted) if image.error}
    readable = [row for row in range(len(entries)) if row not in unreadable]
    if not readable:
        return None
    rows, channels = _most_frequent_channels(readable, converted)
    left_out = {}
    for row in sorted(set(readable) - set(rows)):
        image_channels = converted[row].shape[-1]
        left_out[row] = f"it has {image_channels} channels, but most images here have {channels}"
    duplicates = _find_duplicates(rows, converted)
    if drop_duplicates:
        rows = [row for row in rows if row not in duplicates]
    all_16_bits = all(converted[row].dtype == "uint16" for row in rows)
    heights = {converted[row].shape[0] for row in rows}
    widths = {converted[row].shape[1] for row in rows}
    same_size = len(heights) == len(widths) == 1
    return Choice(
        rows=_split(rows, entries, converted, test_fraction),
        shape=(heights.pop(), widths.pop(), channels) if same_size else (None, None, channels),
        dtype="uint16" if all_16_bits else "uint8",
        unreadable=unreadable,
        left_out=left_out,
        duplicates=duplicates,
    )


def _most_frequent_channels(rows: list[int], converted: list[Converted]) -> tuple[list[int], int]:
    """Returns the images that have the most common number of channels, and this number.

    Gray and RGB count as one number; it is 3 if any image is RGB.
    """
    channels = {row: converted[row].shape[-1] for row in rows}
    groups = {row: 3 if count == 1 else count for row, count in channels.items()}
    [(most_frequent, _)] = collections.Counter(groups.values()).most_common(1)
    rows = [row for row in rows if groups[row] == most_frequent]
    return rows, max(channels[row] for row in rows)


def _find_duplicates(rows: list[int], converted: list[Converted]) -> dict[int, int]:
    first_rows: dict[str, int] = {}
    duplicates = {}
    for row in rows:
        first_row = first_rows.setdefault(converted[row].digest, row)
        if first_row != row:
            duplicates[row] = first_row
    return duplicates


def _split(
    rows: list[int],
    entries: list[folder.Entry],
    converted: list[Converted],
    test_fraction: float | None,
) -> dict[str, list[int]]:
    """Splits images by folder, or by the hashes of their pixels; omits empty splits."""
    if test_fraction is None:
        test = {row for row in rows if entries[row].split == "test"}
    else:
        # Hashes are as good as random numbers, and equal images stay in one split.
        digests = sorted({converted[row].digest for row in rows})
        test_digests = set(digests[: round(test_fraction * len(digests))])
        test = {row for row in rows if converted[row].digest in test_digests}
    splits = {
        "train": [row for row in rows if row not in test],
        "test": [row for row in rows if row in test],
    }
    return {split: rows for split, rows in splits.items() if rows}


def finish(picture: bytes | np.ndarray, channels: int, dtype: str) -> bytes | np.ndarray:
    """Converts an image to the data set's type and number of channels.

    Args:
        picture: An encoded image, which is returned unchanged, or an array [H, W, C].
        channels: Number of channels of the data set.
        dtype: Type of the data set's pixels, "uint8" or "uint16".

    Returns:
        An encoded image if the data set stores those (see `write.is_encoded`), otherwise an array
        [H, W, channels].
    """
    if isinstance(picture, bytes):
        return picture
    pixels = picture if dtype == "uint16" else images.to_8_bits(picture)
    if is_encoded(channels, dtype):
        return images.encode(pixels)
    return np.broadcast_to(pixels, (*pixels.shape[:2], channels))
