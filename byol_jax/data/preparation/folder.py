"""The pictures of a folder: which files they are, their splits and their labels."""

import collections
import csv
import os
from pathlib import Path
from typing import NamedTuple

from byol_jax import errors
from byol_jax.data import files
from byol_jax.system.paths import local

_TEST_NAMES = ("test", "val", "validation")


class Entry(NamedTuple):
    """A file that should be a picture, its path within the source; label: None without classes."""

    path: str
    split: str
    label: int | None


class Folder(NamedTuple):
    """What a source holds.

    others: how many other files there are, by suffix.  left_out: why a path is not read.
    unlabelled: pictures in no subfolder, where others are in one; with them there are no classes.
    """

    entries: list[Entry]
    classes: list[str] | None
    others: dict[str, int]
    left_out: dict[str, str]
    unlabelled: list[str] = []


def find(source: Path, labels: str) -> Folder:
    """The pictures below `source`, in the order of their paths.

    They are in the splits train and test where there is a folder `train`, and else all in train.
    labels: "folders" takes the names of the subfolders, where every picture is in one; "none" takes
    none; else a CSV file with columns `path` (relative to the source) and `label`.

    Follows symbolic links, but not back into a folder that it is in. Raises ValueError for a CSV
    file that lacks something, FileNotFoundError where there is none.
    """
    others, left_out = collections.Counter(), {}
    paths = sorted(files.walk(source, "", (), others, left_out))
    split_of = _splits(source)
    outside = [path for path in paths if split_of(path) is None]
    left_out |= dict.fromkeys(outside, "beside the folders of the splits")
    paths = [path for path in paths if split_of(path)]
    names = _labels(source, labels, paths)
    classes = None if names is None else sorted(set(names.values()))
    numbers = {} if names is None else {name: number for number, name in enumerate(classes)}
    entries = [Entry(p, split_of(p), numbers[names[p]] if numbers else None) for p in paths]
    printable = classes and [files.printable(name) for name in classes]
    unlabelled = _unlabelled(source, paths) if labels == "folders" else []
    return Folder(entries, printable, dict(others), left_out, unlabelled)


def _splits(source: Path):
    """The function that gives a path's split, None where it has none."""
    if not (source / "train").is_dir():
        return lambda path: "train"
    tests = [name for name in _TEST_NAMES if (source / name).is_dir()]
    splits = {"train": "train", **{name: "test" for name in tests[:1]}}
    return lambda path: splits.get(Path(path).parts[0])


def _labels(source: Path, labels: str, paths: list[str]) -> dict[str, str] | None:
    if labels == "none" or not paths:
        return None
    if labels != "folders":
        return _csv_labels(local(labels), source, paths)
    parts = _below_split(source, paths)
    if any(len(part) < 2 for part in parts.values()):
        return None
    return {path: part[0] for path, part in parts.items()}


def _below_split(source: Path, paths: list[str]) -> dict[str, tuple[str, ...]]:
    """The parts of each path below the folder of its split."""
    depth = 1 if (source / "train").is_dir() else 0
    return {path: Path(path).parts[depth:] for path in paths}


def _unlabelled(source: Path, paths: list[str]) -> list[str]:
    """The pictures that are in no subfolder, where others are in one."""
    outside = [path for path, parts in _below_split(source, paths).items() if len(parts) < 2]
    return outside if len(outside) < len(paths) else []


def _csv_labels(file: Path, source: Path, paths: list[str]) -> dict[str, str]:
    if not file.is_file():
        raise FileNotFoundError(
            f"--labels={file} is no file; it is folders, none, or a CSV file with columns path and "
            "label."
        )
    with file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as lines:
        rows = csv.DictReader(lines)
        columns = rows.fieldnames or []
        missing = [column for column in ("path", "label") if column not in columns]
        if missing:
            raise errors.UserError(
                f"{file} has the columns {', '.join(columns) or '(none)'}, and not "
                f"{' and '.join(missing)}; its first row must name the columns path (relative to "
                f"{source}) and label."
            )
        named = [(os.path.normpath(row["path"]), row["label"] or "") for row in rows if row["path"]]
    labels = dict(named)
    _refuse(file, "gives two labels to", [p for p, label in named if labels[p] != label])
    _refuse(file, "gives no label to", [p for p, label in named if not label.strip()])
    known = set(paths)
    absent = [path for path in labels if path not in known]
    _refuse(
        file, f"names, and {source} has no picture (of {', '.join(files.SUFFIXES)}) at,", absent
    )
    _refuse(file, "has no row for", [path for path in paths if path not in labels])
    return {path: labels[path].strip() for path in paths}


def _refuse(file, what, paths):
    if paths:
        some = ", ".join(files.printable(path) for path in paths[:3])
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        raise errors.UserError(f"{file} {what} {some}{more}; correct its rows, or the folder.")
