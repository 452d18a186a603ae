"""Makes a data set of a folder of pictures, of IDX files, or of a TFDS folder of TFRecords."""

import os
from pathlib import Path

from byol_jax import errors
from byol_jax.data.preparation import convert, idx, outcome, pictures, tfrecord
from byol_jax.system import paths
from byol_jax.system.progress import NullProgress, Progress

DUPLICATES = ("drop", "keep")


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
    progress: Progress | None = None,
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
    source = paths.local(source).absolute()
    out = paths.local(out).absolute()
    options = pictures.Options(str(labels), test_fraction, duplicates, max_side)
    limits = {"train": max_train, "test": max_test}
    _check(source, out, options, limits)
    work = convert.Work(source, out, limits, workers or _cores(), progress or NullProgress())
    for kind in (idx, tfrecord):
        if kind.is_here(source):
            if options != pictures.Options():
                raise errors.UserError(
                    f"{source} is a data set already and is taken whole; leave out --labels, "
                    "--test_fraction, --duplicates and --max_side, which are for loose pictures."
                )
            return kind.prepare(work)
    return pictures.prepare(work, options)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _check(source, out, options, limits):
    if os.path.lexists(out):  # a link to nothing too
        raise FileExistsError(f"{out} exists; give another --out, or remove it first.")
    if not source.is_dir():
        raise FileNotFoundError(f"{source} is not a folder; give --source a folder of pictures.")
    if options.duplicates not in DUPLICATES:
        raise errors.UserError(
            f"duplicates is {options.duplicates!r}; it is {' or '.join(DUPLICATES)}."
        )
    fraction = options.test_fraction
    if fraction is not None and not 0 < fraction < 1:
        raise errors.UserError(f"test_fraction is {fraction}; give a part such as 0.1.")
    if fraction is not None and any(limits.values()):
        raise errors.UserError("test_fraction goes without max_train and max_test; leave out one.")
    for name, value in {"max_side": options.max_side, **limits}.items():
        if value is not None and value < 1:
            raise errors.UserError(f"{name} is {value}; give at least 1, or leave it out.")
