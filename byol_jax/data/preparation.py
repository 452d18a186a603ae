"""Makes a data set of a folder of pictures, of IDX files, or of a TFDS folder of TFRecords."""

import functools
import hashlib
import itertools
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from byol_jax.data import choose, convert, folder, idx, outcome, tfrecord, write

DUPLICATES = ("drop", "keep")


class Options(NamedTuple):
    """How to read a folder of pictures; see `prepare`."""

    labels: str = "folders"
    test_fraction: float | None = None
    duplicates: str = "drop"
    max_side: int | None = None


class _Silence:
    def show(self, what, done, total):
        pass

    def tell(self, text):
        pass


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    labels: str = "folders",
    test_fraction: float | None = None,
    duplicates: str = "drop",
    max_side: int | None = None,
    max_train: int | None = None,
    max_test: int | None = None,
    workers: int | None = None,
    progress: convert.Progress | None = None,
) -> outcome.Report:
    """Writes the pictures of `source` as the data set `out`, a folder that must be new.

    source: a folder of pictures, at any depth, split where it has `train` and `test` (or `val`); a
        folder with MNIST's IDX files; or one that TFDS prepared as TFRecord. The last two are
        taken whole, and the options of folders do not go with them.
    labels: "folders", the names of the subfolders where every picture is in one; "none"; or a CSV
        file with the columns `path`, relative to source, and `label`.
    test_fraction: the part to test on, where there is no test folder. The content decides, so that
        the same pictures always split in the same way and equal ones stay together.
    duplicates: "drop" keeps the first of those with equal pixels, in test before train; or "keep".
    max_side: what the shorter side is made to have at most, in pixels.
    max_train, max_test: read only that many, from the start.
    workers: processes, all cores unless given. In a script, call this under
        `if __name__ == "__main__":`, as each of them imports it.

    A picture that cannot be read is left out and named in the report, which is also in `out`. An
    interrupt leaves nothing at `out`; the same call then goes on. Raises FileNotFoundError where
    there are no pictures, FileExistsError when `out` is there, ValueError for a wrong option.
    """
    source, out = Path(source).expanduser().absolute(), Path(out).expanduser().absolute()
    options = Options(str(labels), test_fraction, duplicates, max_side)
    limits = {"train": max_train, "test": max_test}
    _check(source, out, options, limits)
    work = _Work(source, out, limits, workers or _cores(), progress or _Silence())
    for kind, read in ((idx, _idx), (tfrecord, _tfrecord)):
        if kind.is_here(source):
            if options != Options():
                raise ValueError(
                    f"{source} is a data set already and is taken whole; leave out --labels, "
                    "--test_fraction, --duplicates and --max_side, which are for folders of pictures."
                )
            return read(work)
    return _folder(work, options)


class _Work(NamedTuple):
    source: Path
    out: Path
    limits: dict[str, int | None]
    workers: int
    progress: convert.Progress


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _check(source, out, options, limits):
    if out.exists():
        raise FileExistsError(f"{out} exists; give another --out, or remove it first.")
    if not source.is_dir():
        raise FileNotFoundError(f"{source} is not a folder; give --source a folder of pictures.")
    if options.duplicates not in DUPLICATES:
        raise ValueError(f"duplicates is {options.duplicates!r}; it is {' or '.join(DUPLICATES)}.")
    fraction = options.test_fraction
    if fraction is not None and not 0 < fraction < 1:
        raise ValueError(f"test_fraction is {fraction}; give a part such as 0.1.")
    if fraction is not None and any(limits.values()):
        raise ValueError("test_fraction goes without max_train and max_test; leave out one.")
    for name, value in {"max_side": options.max_side, **limits}.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; give at least 1, or leave it out.")


def _folder(work: _Work, options: Options) -> outcome.Report:
    found = folder.find(work.source, options.labels)
    entries = [e for split in ("test", "train") for e in _first(found.entries, split, work.limits)]
    if options.test_fraction is not None and any(e.split == "test" for e in entries):
        raise ValueError(f"{work.source} has a folder of test pictures; leave out --test_fraction.")
    scratch = convert.unfinished(work.out, _plan(work.source, entries, options), work.progress)
    paths = [entry.path for entry in entries]
    how = {"max_side": options.max_side, "workers": work.workers, "progress": work.progress}
    became = convert.convert(work.source, paths, scratch, **how)
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
    _write(work, splits, report, scratch)
    return report


def _nothing(source, entries, became):
    bad = [f"{folder.printable(e.path)}: {b.why}" for e, b in zip(entries, became) if b.why]
    return (
        f"{source} has no readable pictures to train on, of {len(entries)} there"
        + (f" ({len(bad)} unreadable: {'; '.join(bad[:3])})" if bad else "")
        + f"; prepare reads {', '.join(folder.SUFFIXES)} and MNIST's IDX files."
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
    names = [folder.printable(entry.path) for entry in entries]
    left_out = {folder.printable(path): why for path, why in found.left_out.items()}
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
    )


def _idx(work: _Work) -> outcome.Report:
    found = {}
    for split, (pixels, labels) in idx.read(work.source).items():
        limit = work.limits[split]
        found[split] = (pixels[:limit], None if labels is None else labels[:limit])
    if "train" not in found:
        raise FileNotFoundError(f"{work.source} has no train-images-idx3-ubyte; add it.")
    pixels, labels = found["train"]
    kept = {split: len(pixels) for split, (pixels, _) in found.items()}
    classes = None if labels is None else [str(c) for c in range(1 + int(labels.max()))]
    report = outcome.Report(kept, classes, (*pixels.shape[1:], 1), "uint8", sum(kept.values()))
    splits = {split: functools.partial(idx.examples, *arrays) for split, arrays in found.items()}
    _write(work, splits, report, convert.unfinished(work.out, str(work.source), work.progress))
    return report


def _tfrecord(work: _Work) -> outcome.Report:
    info = tfrecord.open_folder(work.source)
    sizes = {split: part.num_examples for split, part in info.splits.items()}
    kept = {split: min(work.limits.get(split) or size, size) for split, size in sizes.items()}
    classes = info.features["label"].names if "label" in info.features else None
    shape = tuple(info.features["image"].shape)
    report = outcome.Report(kept, classes, shape, "uint8", sum(sizes.values()))

    def examples(split):
        return itertools.islice(tfrecord.examples(info, split), kept[split])

    splits = {split: functools.partial(examples, split) for split in kept}
    _write(work, splits, report, convert.unfinished(work.out, str(work.source), work.progress))
    return report


def _write(work: _Work, splits: dict[str, write.Read], report: outcome.Report, scratch: Path):
    total, number = sum(report.kept.values()), itertools.count(1)

    def counted(read):
        for example in read():
            work.progress.show("writing", next(number), total)
            yield example

    described = write.features(report.shape, report.dtype, report.classes)
    splits = {split: functools.partial(counted, read) for split, read in splits.items()}
    try:
        beside = {report.FILE: report.json()}
        write.write(work.out, splits, described, scratch=scratch / "written", beside=beside)
    finally:
        shutil.rmtree(scratch / "written", ignore_errors=True)
    shutil.rmtree(scratch)
