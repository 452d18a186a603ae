"""The image files in a folder, with their splits and labels."""

import collections
import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from byol_jax import errors
from byol_jax.data import files
from byol_jax.system.paths import local

_TEST_NAMES = ("test", "val", "validation")


# Renaming a field discards unfinished conversions: their plan contains the text of each entry.
class Entry(NamedTuple):
    """A file that should contain an image.

    Attributes:
        path: Path of the file, relative to the source folder.
        split: "train" or "test".
        label: Number of its class; None if the data set has no labels.
    """

    path: str
    split: str
    label: int | None


class Folder(NamedTuple):
    """The contents of a source folder.

    Attributes:
        entries: The image files, sorted by path.
        classes: Names of the classes; None without labels.
        others: Number of other files, by suffix.
        left_out: Reason by path, for files and folders that are not read.
        unlabelled: Paths of images in no subfolder, if other images are in subfolders. If there are
            such paths, the data set has no labels.
    """

    entries: list[Entry]
    classes: list[str] | None
    others: dict[str, int]
    left_out: dict[str, str]
    unlabelled: list[str] = []


def find(source: Path, labels: str) -> Folder:
    """Finds the image files below a folder, with their splits and labels.

    If the folder has a subfolder `train`, the splits are `train` and the first of the subfolders
    `test`, `val` and `validation`, and images elsewhere are left out. Otherwise all images are in
    the split `train`. Symbolic links are followed, except links to a parent folder.

    Args:
        source: The folder.
        labels: Source of the labels: "folders" for the names of the subfolders, if every image is
            in one; "none" for no labels; otherwise the path of a CSV file with the columns `path`
            (relative to `source`) and `label`.

    Returns:
        The contents of the folder.

    Raises:
        UserError: The CSV file lacks a column or a row, has contradictory rows, or names missing
            images.
        FileNotFoundError: The CSV file does not exist.
    """
    others = collections.Counter()
    left_out: dict[str, str] = {}
    split_of = _splits(source)
    splits = {}
    for path in sorted(files.walk(source, "", (), others, left_out)):
        split = split_of(path)
        if split is None:
            left_out[path] = "it is outside the folders of the splits"
        else:
            splits[path] = split
    paths = list(splits)
    names = _labels(source, labels, paths)
    unlabelled = _unlabelled(source, paths) if labels == "folders" else []
    if names is None:
        entries = [Entry(path, split, None) for path, split in splits.items()]
        return Folder(entries, None, dict(others), left_out, unlabelled)
    classes = sorted(set(names.values()))
    numbers = {name: number for number, name in enumerate(classes)}
    entries = [Entry(path, split, numbers[names[path]]) for path, split in splits.items()]
    printable = [files.printable(name) for name in classes]
    return Folder(entries, printable, dict(others), left_out, unlabelled)


def _splits(source: Path) -> Callable[[str], str | None]:
    """Returns a function that maps an image's path to its split, or to None without a split."""
    if not (source / "train").is_dir():
        return lambda path: "train"
    tests = [name for name in _TEST_NAMES if (source / name).is_dir()]
    splits = {"train": "train", **{name: "test" for name in tests[:1]}}
    return lambda path: splits.get(Path(path).parts[0])


def _labels(source: Path, labels: str, paths: list[str]) -> dict[str, str] | None:
    """Returns the class name of each path, or None if the data set has no labels."""
    if labels == "none" or not paths:
        return None
    if labels != "folders":
        return _csv_labels(local(labels), source, paths)
    parts_below_split = _parts_below_split(source, paths)
    if any(len(parts) < 2 for parts in parts_below_split.values()):
        return None
    return {path: parts[0] for path, parts in parts_below_split.items()}


def _parts_below_split(source: Path, paths: list[str]) -> dict[str, tuple[str, ...]]:
    """Returns each image's path below its split's folder, as a sequence of names."""
    depth = 1 if (source / "train").is_dir() else 0
    return {path: Path(path).parts[depth:] for path in paths}


def _unlabelled(source: Path, paths: list[str]) -> list[str]:
    """Returns the images without a class: those outside subfolders, if subfolders have images."""
    parts_below_split = _parts_below_split(source, paths)
    outside = [path for path, parts in parts_below_split.items() if len(parts) < 2]
    return outside if len(outside) < len(paths) else []


def _csv_labels(file: Path, source: Path, paths: list[str]) -> dict[str, str]:
    """Reads the class name of each path from a CSV file."""
    if not file.is_file():
        raise FileNotFoundError(
            f"--labels={file} is not a file; set --labels to 'folders', to 'none', or to a CSV "
            "file with the columns path and label."
        )
    with file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as lines:
        rows = csv.DictReader(lines)
        columns = rows.fieldnames or []
        missing = [column for column in ("path", "label") if column not in columns]
        if missing:
            columns_text = ", ".join(columns) or "(none)"
            missing_text = " and ".join(missing)
            raise errors.UserError(
                f"{file} has the columns {columns_text}, but lacks {missing_text}; its first row "
                f"must name the columns path (relative to {source}) and label."
            )
        labelled = [
            (os.path.normpath(row["path"]), row["label"] or "") for row in rows if row["path"]
        ]
    labels = dict(labelled)
    contradictory = [path for path, label in labelled if labels[path] != label]
    _reject(f"{file} gives two labels to the same image", contradictory)
    _reject(
        f"{file} gives no label to some images", [p for p, label in labelled if not label.strip()]
    )
    known_paths = set(paths)
    suffixes = ", ".join(files.SUFFIXES)
    _reject(
        f"{file} names files that do not exist in {source} or are not images ({suffixes})",
        [path for path in labels if path not in known_paths],
    )
    _reject(f"{file} has no row for some images", [path for path in paths if path not in labels])
    return {path: labels[path].strip() for path in paths}


def _reject(problem: str, paths: list[str]) -> None:
    """Raises an error that names up to three of the paths, unless there are none."""
    if paths:
        names = ", ".join(files.printable(path) for path in paths[:3])
        suffix = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        raise errors.UserError(
            f"{problem}: {names}{suffix}; correct the rows of the CSV file, or the folder."
        )
