"""Conversion of image folders, MNIST's IDX files and TFRecord files to data sets."""

import os
from pathlib import Path

from byol_jax import errors
from byol_jax.data.preparation import convert, idx, outcome, pictures, tfrecord
from byol_jax.system import cores, paths
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
    """Converts image files to a data set that can be read at random positions.

    Unreadable images are left out and listed in the report, which is also written to the data set's
    folder. After an interrupt, `out` does not exist, and the same call resumes the work.

    Args:
        source: A folder of images, at any depth, whose subfolders `train` and `test` (or `val`)
            become splits; a folder of MNIST's IDX files; or a TFDS data set of TFRecord files. The
            options `labels` to `max_side` apply only to a folder of images.
        out: Folder of the data set; it must not exist.
        labels: Source of the labels: "folders" for the names of the subfolders, if every image is
            in one; "none" for no labels; otherwise the path of a CSV file with the columns `path`
            (relative to `source`) and `label`.
        test_fraction: Fraction of the images, in (0, 1), to use as the test split of a folder that
            has no test split. The pixels decide, so equal images are in the same split, and the
            split is always the same. By default no images are split off.
        duplicates: "drop" keeps only the first of several images with equal pixels, and prefers the
            test split; "keep" keeps all.
        max_side: Length in pixels to which the shorter side of larger images is reduced; by default
            all sizes are kept.
        max_train: Number of training images to read, from the first on; by default all.
        max_test: Number of test images to read, from the first on; by default all.
        workers: Number of processes that read images; by default one per core. Each imports the
            calling script, which must call this function under `if __name__ == "__main__":`.
        progress: Receives progress updates, such as monitor.Counter; by default there are none.

    Returns:
        The contents of the data set, and the files that are not in it.

    Raises:
        FileNotFoundError: The source is not a folder, or has no readable training images; or the
            CSV file does not exist.
        FileExistsError: `out` exists.
        UserError: An option is invalid or does not apply to this source; a CSV, IDX or TFRecord
            file is invalid; or a process was killed.
    """
    source = paths.local(source).absolute()
    out = paths.local(out).absolute()
    options = pictures.Options(str(labels), test_fraction, duplicates, max_side)
    limits = {"train": max_train, "test": max_test}
    _check(source, out, options, limits)
    work = convert.Work(source, out, limits, workers or cores.count(), progress or NullProgress())
    for converter in (idx, tfrecord):
        if converter.is_here(source):
            _check_no_options(source, options)
            return converter.prepare(work)
    return pictures.prepare(work, options)


def _check_no_options(source: Path, options: pictures.Options) -> None:
    if options != pictures.Options():
        raise errors.UserError(
            f"{source} is already a data set. Leave out --labels, --test_fraction, --duplicates "
            "and --max_side, which apply only to folders of images."
        )


def _check(
    source: Path, out: Path, options: pictures.Options, limits: dict[str, int | None]
) -> None:
    if os.path.lexists(out):  # unlike exists, also true for a link to a missing file
        raise FileExistsError(f"{out} exists; give another --out, or remove it first.")
    if not source.is_dir():
        raise FileNotFoundError(f"{source} is not a folder; give --source a folder of images.")
    duplicates = options.duplicates
    if duplicates not in DUPLICATES:
        choices = " or ".join(DUPLICATES)
        raise errors.UserError(f"duplicates must be {choices}, not {duplicates!r}.")
    fraction = options.test_fraction
    if fraction is not None and not 0 < fraction < 1:
        raise errors.UserError(
            f"test_fraction must be between 0 and 1, such as 0.1, not {fraction}."
        )
    if fraction is not None and any(limits.values()):
        raise errors.UserError(
            "test_fraction cannot be combined with max_train or max_test; leave out one."
        )
    numbers = {
        "max_side": options.max_side,
        "max_train": limits["train"],
        "max_test": limits["test"],
    }
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise errors.UserError(f"{name} must be at least 1, not {value}.")
