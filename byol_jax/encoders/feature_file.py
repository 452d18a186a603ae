"""Writes and reads the features of many images, as temporary parts and as one final file."""

import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from byol_jax import errors
from byol_jax.system import paths

SUFFIXES = (".npz", ".parquet")


class Rows(NamedTuple):
    """The features of N images from a folder.

    Attributes:
        paths: The paths of the N images, relative to the folder.
        features: Features of shape [N, F], float32, in the order of `paths`.
        unreadable: The reason for each image that could not be read, by path; `paths` and
            `features` do not contain these images.
    """

    paths: list[str]
    features: np.ndarray
    unreadable: dict[str, str]


class Parts:
    """The stored results of an interrupted computation of features, which lets it resume.

    The parts are files in a hidden folder next to the output file.

    Args:
        out: The output file.
        fingerprint: A text that identifies the images and the encoder. Existing parts with another
            fingerprint are deleted.
    """

    def __init__(self, out: Path, fingerprint: str):
        self._folder = out.parent / f".{out.name}.unfinished"
        plan = self._folder / "plan"
        is_same = plan.is_file() and plan.read_text(encoding="utf-8") == fingerprint
        if not is_same:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        paths.write_whole(plan, fingerprint)

    def read(self, number: int) -> Rows | None:
        """Reads the features of one finished part of the computation.

        Args:
            number: The part's number, from 0.

        Returns:
            The features of the part, or None if it is missing or damaged.
        """
        try:
            with self._file(number).open("rb") as file:
                return _parse_arrays(np.load(file, allow_pickle=False))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def keep(self, number: int, rows: Rows) -> None:
        """Stores the features of one finished part of the computation.

        After an interrupted write the part does not exist.

        Args:
            number: The part's number, from 0.
            rows: The features of the part.

        Raises:
            OSError: The part cannot be written, for example because the disk is full.
        """
        with paths.whole_file(self._file(number), "wb") as file:
            np.savez(file, **_named_arrays(rows))

    def remove(self) -> None:
        """Deletes the stored parts of the computation; call it after the output file is written."""
        shutil.rmtree(self._folder)

    def _file(self, number):
        return self._folder / f"{number:06d}.npz"


def join(parts: Sequence[Rows], num_features: int) -> Rows:
    """Concatenates the features of several parts.

    Args:
        parts: The parts, in order; there may be none.
        num_features: The number of features F of an image.

    Returns:
        The features of all parts.
    """
    empty = np.zeros((0, num_features), np.float32)
    return Rows(
        [path for part in parts for path in part.paths],
        np.concatenate([empty, *(part.features for part in parts)]),
        {path: reason for part in parts for path, reason in part.unreadable.items()},
    )


def check(out: str | Path) -> Path:
    """Checks the name of an output file for features: its suffix must be .npz or .parquet.

    Args:
        out: The output file; it may start with "~" for the home directory.

    Returns:
        The path with "~" expanded.

    Raises:
        UserError: The suffix is not one of SUFFIXES.
    """
    path = paths.local(out)
    if path.suffix not in SUFFIXES:
        suffixes = " or ".join(SUFFIXES)
        raise errors.UserError(f"--out={out} must end in {suffixes}.")
    return path


def write(out: Path, rows: Rows, info: dict[str, Any]) -> None:
    """Writes features to a .npz or .parquet file; an interrupted write leaves no partial file.

    An .npz file contains the arrays features [N, F], paths [N], unreadable [M], reasons [M], and
    about (a JSON text). A .parquet file contains the columns path and features; its schema metadata
    contain a JSON text "byol_jax" with about and unreadable.

    Args:
        out: The file to write; its suffix selects the format.
        rows: The features.
        info: A description of the encoder, as a dict that JSON can represent.
    """
    if out.suffix == ".npz":
        arrays = {**_named_arrays(rows), "about": np.array(json.dumps(info))}
        with paths.whole_file(out, "wb") as file:
            np.savez(file, **arrays)
    else:
        with paths.whole_file(out, "wb") as file:
            _write_parquet(file, rows, info)


def _named_arrays(rows: Rows) -> dict[str, Any]:
    return {
        "features": rows.features,
        "paths": _text_array(rows.paths),
        "unreadable": _text_array([*rows.unreadable]),
        "reasons": _text_array([*rows.unreadable.values()]),
    }


def _text_array(texts: list[str]) -> np.ndarray:
    """Converts strings to a fixed-width numpy array, which numpy can save without pickle."""
    # numpy makes an empty list an array of floats unless the dtype is given.
    return np.array(texts, dtype=None if texts else "<U1")


def _parse_arrays(arrays) -> Rows:
    features = arrays["features"]
    unreadable = dict(zip(arrays["unreadable"].tolist(), arrays["reasons"].tolist(), strict=True))
    return Rows(arrays["paths"].tolist(), features, unreadable)


def _write_parquet(file, rows, info) -> None:
    import pyarrow
    import pyarrow.parquet

    flat = pyarrow.array(rows.features.reshape(-1))
    columns = {
        "path": [_to_utf8(path) for path in rows.paths],
        "features": pyarrow.FixedSizeListArray.from_arrays(flat, rows.features.shape[1]),
    }
    metadata = {"byol_jax": json.dumps({**info, "unreadable": rows.unreadable})}
    pyarrow.parquet.write_table(pyarrow.table(columns, metadata=metadata), file)


def _to_utf8(path) -> str:
    """Escapes the bytes of a file name that are not UTF-8, since parquet stores only UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
