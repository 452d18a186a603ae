"""Makes a data set of a folder of pictures."""

import functools
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from byol_jax import errors
from byol_jax.data import files
from byol_jax.data.preparation import choose, convert, folder, outcome, write
from byol_jax.data.preparation.convert import Work


class Options(NamedTuple):
    """How to read a folder of pictures; see `data.prepare`."""

    labels: str = "folders"
    test_fraction: float | None = None
    duplicates: str = "drop"
    max_side: int | None = None


def prepare(work: Work, options: Options) -> outcome.Report:
    """Writes the data set and says what became of each file."""
    found = folder.find(work.source, options.labels)
    entries = [e for split in ("test", "train") for e in _first(found.entries, split, work.limits)]
    if options.test_fraction is not None and any(e.split == "test" for e in entries):
        raise errors.UserError(
            f"{work.source} has a folder of test pictures; leave out --test_fraction."
        )
    scratch = convert.unfinished(work, _plan(work.source, entries, options))
    became = convert.convert(work, [entry.path for entry in entries], scratch, options.max_side)
    drop = options.duplicates == "drop"
    how = {"test_fraction": options.test_fraction, "drop_duplicates": drop}
    chosen = choose.choose(entries, became, **how)
    if chosen is None or "train" not in chosen.rows:
        shutil.rmtree(scratch)
        raise FileNotFoundError(_nothing(work.source, entries, became))

    def examples(rows):
        for row in rows:
            entry = entries[row]
            picture = convert.load(work.source, entry.path, scratch, row, became[row])
            label = {} if entry.label is None else {"label": entry.label}
            yield {"image": choose.finish(picture, chosen.shape[-1], chosen.dtype), **label}

    report = _report(entries, chosen, found, duplicates_kept=not drop)
    splits = {split: functools.partial(examples, rows) for split, rows in chosen.rows.items()}
    write.write(work, splits, report, scratch)
    return report


def _nothing(source, entries, became):
    bad = [f"{files.printable(e.path)}: {b.why}" for e, b in zip(entries, became) if b.why]
    return (
        f"{source} has no readable pictures to train on, of {len(entries)} there"
        + (f" ({len(bad)} unreadable: {'; '.join(bad[:3])})" if bad else "")
        + f"; prepare reads {', '.join(files.SUFFIXES)} and MNIST's IDX files."
    )


def _first(entries, split, limits):
    return [entry for entry in entries if entry.split == split][: limits[split]]


def _plan(source: Path, entries: list[folder.Entry], options: Options) -> str:
    """What is to be done, as text that differs when a picture has changed."""
    every = hashlib.blake2b(digest_size=16)
    for entry in entries:
        try:
            status = os.stat(source / entry.path)
            every.update(f"{entry} {status.st_size} {status.st_mtime_ns}\n".encode())
        except OSError:
            every.update(f"{entry}\n".encode())
    return json.dumps([str(source), options, len(entries), every.hexdigest()])


def _report(entries, chosen, found, *, duplicates_kept):
    names = [files.printable(entry.path) for entry in entries]
    left_out = {files.printable(path): why for path, why in found.left_out.items()}
    return outcome.Report(
        kept={split: len(rows) for split, rows in chosen.rows.items()},
        classes=found.classes,
        shape=chosen.shape,
        dtype=chosen.dtype,
        found=len(entries),
        unreadable={names[row]: why for row, why in chosen.unreadable.items()},
        left_out={**left_out, **{names[row]: why for row, why in chosen.left_out.items()}},
        duplicates={names[row]: names[first] for row, first in chosen.duplicates.items()},
        relabelled=[
            names[row]
            for row, first in chosen.duplicates.items()
            if entries[row].label != entries[first].label
        ],
        duplicates_kept=duplicates_kept,
        others=found.others,
        unlabelled=[files.printable(path) for path in found.unlabelled],
    )
