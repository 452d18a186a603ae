"""Features of many pictures on disk: in parts while they are computed, then in one file."""

import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from byol_jax import errors
from byol_jax.system import paths

SUFFIXES = (".npz", ".parquet")


class Rows(NamedTuple):
    """Features of pictures.

    paths: of N pictures, relative to their folder.  features: float32 [N, F], in that order.
    unreadable: why, by path, of the pictures that are not among them.
    """

    paths: list[str]
    features: np.ndarray
    unreadable: dict[str, str]


class Parts:
    """Rows kept in a hidden folder beside `out` until all are there; what is kept is not redone.

    fingerprint: text that differs where the features would; parts of another one are removed.
    """

    def __init__(self, out: Path, fingerprint: str):
        self._folder = out.parent / f".{out.name}.unfinished"
        note = self._folder / "plan"
        same = note.is_file() and note.read_text(encoding="utf-8") == fingerprint
        if not same:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        paths.write_whole(note, fingerprint)

    def read(self, number: int) -> Rows | None:
        """What was kept as this part, None where nothing whole was."""
        try:
            with self._file(number).open("rb") as file:
                return _rows(np.load(file, allow_pickle=False))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def keep(self, number: int, rows: Rows) -> None:
        """Keeps a part, whole or not at all; raises OSError where the disk is full."""
        with paths.whole_file(self._file(number), "wb") as file:
            np.savez(file, **_arrays(rows))

    def remove(self) -> None:
        """Once all rows are elsewhere."""
        shutil.rmtree(self._folder)

    def _file(self, number):
        return self._folder / f"{number:06d}.npz"


def join(parts: Sequence[Rows], num_features: int) -> Rows:
    """The rows of all parts as one."""
    none = np.zeros((0, num_features), np.float32)
    return Rows(
        [path for part in parts for path in part.paths],
        np.concatenate([none, *(part.features for part in parts)]),
        {path: why for part in parts for path, why in part.unreadable.items()},
    )


def check(out: str | Path) -> Path:
    """The path to write; raises ValueError for a suffix not in SUFFIXES."""
    path = paths.local(out)
    if path.suffix not in SUFFIXES:
        raise errors.UserError(f"--out={out} must end in {' or '.join(SUFFIXES)}.")
    return path


def write(out: Path, rows: Rows, about: dict) -> None:
    """Writes .npz or .parquet, whole or not at all; `about` says what made the features.

    An .npz has the arrays features [N, F], paths [N], unreadable and reasons [M], and about, JSON.
    A .parquet has the columns path and features, and about in the metadata of its schema.
    """
    if out.suffix == ".npz":
        arrays = {**_arrays(rows), "about": np.array(json.dumps(about))}
        with paths.whole_file(out, "wb") as file:
            np.savez(file, **arrays)
    else:
        with paths.whole_file(out, "wb") as file:
            _parquet(file, rows, about)


def _arrays(rows):
    """Names as arrays of characters, which need no pickle; an empty one needs its type named."""
    return {
        "features": rows.features,
        "paths": np.array(rows.paths, dtype=None if rows.paths else "<U1"),
        "unreadable": np.array([*rows.unreadable], dtype=None if rows.unreadable else "<U1"),
        "reasons": np.array([*rows.unreadable.values()], dtype=None if rows.unreadable else "<U1"),
    }


def _rows(arrays):
    names = (arrays["unreadable"].tolist(), arrays["reasons"].tolist())
    return Rows(arrays["paths"].tolist(), arrays["features"], dict(zip(*names, strict=True)))


def _parquet(file, rows, about):
    import pyarrow
    import pyarrow.parquet

    flat = pyarrow.array(rows.features.reshape(-1))
    columns = {
        "path": [_printable(path) for path in rows.paths],
        "features": pyarrow.FixedSizeListArray.from_arrays(flat, rows.features.shape[1]),
    }
    metadata = {"byol_jax": json.dumps({**about, "unreadable": rows.unreadable})}
    pyarrow.parquet.write_table(pyarrow.table(columns, metadata=metadata), file)


def _printable(path):
    """Parquet holds UTF-8 alone, and the name of a file may be any bytes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
