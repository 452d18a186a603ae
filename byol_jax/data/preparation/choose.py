"""Which of the pictures that were read make the data set, and in what shape."""

import collections
from typing import NamedTuple

import numpy as np

from byol_jax.data import images
from byol_jax.data.preparation import folder
from byol_jax.data.preparation.convert import Converted
from byol_jax.data.preparation.write import is_encoded


class Choice(NamedTuple):
    """The data set: rows (numbers of entries) by split, and the shape and type of its pictures.

    The rest is by row too: why it is not in, or which other row has its pixels.
    """

    rows: dict[str, list[int]]
    shape: tuple[int | None, int | None, int]
    dtype: str
    unreadable: dict[int, str]
    left_out: dict[int, str]
    duplicates: dict[int, int]


def choose(
    entries: list[folder.Entry],
    became: list[Converted],
    *,
    test_fraction: float | None,
    drop_duplicates: bool,
) -> Choice | None:
    """The data set of what the entries became; None when no picture could be read.

    Grey and RGB go together, as RGB; of other numbers of channels only equal ones do, and the most
    frequent stay. 16 bits stay where all pictures have them, otherwise they are scaled to 8.
    """
    unreadable = {row: found.why for row, found in enumerate(became) if found.why}
    readable = [row for row in range(len(entries)) if row not in unreadable]
    if not readable:
        return None
    rows, channels = _one_kind(readable, became)
    left_out = {
        row: f"{became[row].shape[-1]} channels, where most pictures here have {channels}"
        for row in sorted(set(readable) - set(rows))
    }
    duplicates = _duplicates(rows, became)
    if drop_duplicates:
        rows = [row for row in rows if row not in duplicates]
    wide = all(became[row].dtype == "uint16" for row in rows)
    sizes = {tuple(became[row].shape[:2]) for row in rows}
    size = sizes.pop() if len(sizes) == 1 else (None, None)
    return Choice(
        _split(rows, entries, became, test_fraction),
        (*size, channels),
        "uint16" if wide else "uint8",
        unreadable,
        left_out,
        duplicates,
    )


def _one_kind(readable, became):
    """The rows of the most frequent number of channels, grey and RGB counting as one, and it."""
    channels = {row: became[row].shape[-1] for row in readable}
    kinds = {row: "usual" if count in (1, 3) else count for row, count in channels.items()}
    kind = collections.Counter(kinds.values()).most_common(1)[0][0]
    rows = [row for row in readable if kinds[row] == kind]
    return rows, max(channels[row] for row in rows)


def _duplicates(rows, became):
    first, found = {}, {}
    for row in rows:
        if first.setdefault(became[row].digest, row) != row:
            found[row] = first[became[row].digest]
    return found


def _split(rows, entries, became, test_fraction):
    """By folder, or the smallest digests to the test split: the digest is as good as random."""
    if test_fraction is None:
        test = {row for row in rows if entries[row].split == "test"}
    else:
        digests = sorted({became[row].digest for row in rows})
        chosen = set(digests[: round(test_fraction * len(digests))])
        test = {row for row in rows if became[row].digest in chosen}
    splits = {
        "train": [row for row in rows if row not in test],
        "test": [r for r in rows if r in test],
    }
    return {split: rows for split, rows in splits.items() if rows}


def finish(picture: bytes | np.ndarray, channels: int, dtype: str) -> bytes | np.ndarray:
    """A picture as the data set of this many channels and this type stores it.

    Encoded pictures are that already; arrays are scaled to its type, and grey becomes RGB.
    """
    if isinstance(picture, bytes):
        return picture
    pixels = picture if dtype == "uint16" else images.to_8_bits(picture)
    if is_encoded(channels, dtype):
        return images.encode(pixels)
    return np.broadcast_to(pixels, (*pixels.shape[:2], channels))
