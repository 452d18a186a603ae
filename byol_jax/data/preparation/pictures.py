"""Conversion of a folder of image files to a data set."""

import functools
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from byol_jax import errors
from byol_jax.data import files
from byol_jax.data.preparation import choose, convert, folder, outcome, write
from byol_jax.data.preparation.convert import Converted, Work


class Options(NamedTuple):
    """The options for a folder of image files; `prepare.prepare` explains the values.

    Attributes:
        labels: Source of the labels: "folders", "none" or the path of a CSV file.
        test_fraction: Fraction of the images to use as the test split, in (0, 1); None splits by
            folder.
        duplicates: "drop" or "keep".
        max_side: Length in pixels to which the shorter side of larger images is reduced; None keeps
            all sizes.
    """

    labels: str = "folders"
    test_fraction: float | None = None
    duplicates: str = "drop"
    max_side: int | None = None


def prepare(work: Work, options: Options) -> outcome.Report:
    """Converts a folder of image files to a data set.

    Args:
        work: The folder, the output folder and the resources.
        options: Options for labels, splits, duplicates and sizes.

    Returns:
        The contents of the data set, and the files that are not in it.

    Raises:
        FileNotFoundError: The folder contains no readable training images.
        UserError: `test_fraction` is set, but the folder already has a test split.
    """
    contents = folder.find(work.source, options.labels)
    # Test images come first: of equal images, the first is kept, and a test split must not lose
    # images to the training split.
    test_entries = [entry for entry in contents.entries if entry.split == "test"]
    train_entries = [entry for entry in contents.entries if entry.split == "train"]
    entries = test_entries[: work.limits["test"]] + train_entries[: work.limits["train"]]
    if options.test_fraction is not None and any(entry.split == "test" for entry in entries):
        raise errors.UserError(
            f"{work.source} has a folder of test images; leave out --test_fraction."
        )
    scratch = convert.unfinished(work, _plan(work.source, entries, options))
    names = [entry.path for entry in entries]
    converted = convert.convert(work, names, scratch, options.max_side)
    drop_duplicates = options.duplicates == "drop"
    choice = choose.choose(
        entries,
        converted,
        test_fraction=options.test_fraction,
        drop_duplicates=drop_duplicates,
    )
    if choice is None or "train" not in choice.rows:
        shutil.rmtree(scratch)
        message = _no_images_message(work.source, entries, converted)
        raise FileNotFoundError(message)

    def examples(rows: list[int]) -> Iterator[dict]:
        for row in rows:
            entry = entries[row]
            picture = convert.load(work.source, entry.path, scratch, row, converted[row])
            image = choose.finish(picture, choice.shape[-1], choice.dtype)
            yield (
                {"image": image} if entry.label is None else {"image": image, "label": entry.label}
            )

    report = _report(entries, choice, contents, duplicates_kept=not drop_duplicates)
    splits = {split: functools.partial(examples, rows) for split, rows in choice.rows.items()}
    write.write(work, splits, report, scratch)
    return report


def _no_images_message(
    source: Path, entries: list[folder.Entry], converted: list[Converted]
) -> str:
    unreadable = [
        f"{files.printable(entry.path)}: {image.error}"
        for entry, image in zip(entries, converted, strict=True)
        if image.error
    ]
    counts = f"image files: {len(entries)}, unreadable: {len(unreadable)}"
    if unreadable:
        examples = "; ".join(unreadable[:3])
        counts += f", such as {examples}"
    suffixes = ", ".join(files.SUFFIXES)
    return (
        f"{source} has no readable training images ({counts}); prepare reads {suffixes} and "
        "MNIST's IDX files."
    )


def _plan(source: Path, entries: list[folder.Entry], options: Options) -> str:
    """Returns a string that identifies the options and the files; it changes if a file changes."""
    digest = hashlib.blake2b(digest_size=16)
    for entry in entries:
        try:
            status = os.stat(source / entry.path)
            digest.update(f"{entry} {status.st_size} {status.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{entry}\n".encode())
    return json.dumps([str(source), options, len(entries), digest.hexdigest()])


def _report(
    entries: list[folder.Entry],
    choice: choose.Choice,
    contents: folder.Folder,
    *,
    duplicates_kept: bool,
) -> outcome.Report:
    names = [files.printable(entry.path) for entry in entries]
    left_out = {files.printable(path): reason for path, reason in contents.left_out.items()}
    left_out |= {names[row]: reason for row, reason in choice.left_out.items()}
    return outcome.Report(
        kept={split: len(rows) for split, rows in choice.rows.items()},
        classes=contents.classes,
        shape=choice.shape,
        dtype=choice.dtype,
        found=len(entries),
        unreadable={names[row]: reason for row, reason in choice.unreadable.items()},
        left_out=left_out,
        duplicates={names[row]: names[first] for row, first in choice.duplicates.items()},
        relabelled=[
            names[row]
            for row, first in choice.duplicates.items()
            if entries[row].label != entries[first].label
        ],
        duplicates_kept=duplicates_kept,
        others=contents.others,
        unlabelled=[files.printable(path) for path in contents.unlabelled],
    )
