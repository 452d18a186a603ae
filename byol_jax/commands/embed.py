"""The command `embed`: compute the features of all images in a folder."""

import argparse
import hashlib
import itertools
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from byol_jax import encoders, monitor
from byol_jax.commands import arguments
from byol_jax.data import pictures
from byol_jax.encoders.feature_file import Rows
from byol_jax.system import paths
from byol_jax.system.progress import NullProgress, Progress

EXAMPLE = "embed --workdir=runs/quickstart --images=photos --out=features.npz"
# The images are read, embedded and saved in parts; both limits hold for each part.
_MAX_IMAGES = 512
_MAX_BYTES = 2**28  # of decoded images


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `embed`."""
    parser.add_argument(
        "--workdir", metavar="FOLDER", help="workdir of a finished run, whose encoder is used"
    )
    parser.add_argument(
        "--encoder", metavar="FILE", help="encoder file that train, export or import wrote"
    )
    parser.add_argument(
        "--images", metavar="FOLDER", help="folder of images; subfolders are searched too"
    )
    parser.add_argument(
        "--out",
        metavar="FILE.npz|FILE.parquet",
        help="file to write; it must not exist; it contains each image's path and features",
    )
    parser.require("images", "out")
    parser.require_one("encoder", "workdir")


def run(flags: argparse.Namespace) -> None:
    """Writes the features of the images and lists the unreadable images."""
    try:
        with monitor.Counter() as counter:
            encoder = encoders.load(flags.encoder or flags.workdir)
            rows = embed(encoder, flags.images, flags.out, progress=counter)
    except KeyboardInterrupt:
        sys.exit(arguments.INTERRUPTED)
    arguments.escape_unprintable()
    for path, reason in rows.unreadable.items():
        print(f"unreadable: {path}: {reason}")
    num_images, num_features = rows.features.shape
    num_unreadable = len(rows.unreadable)
    print(
        f"wrote {flags.out}: {num_images:,} images with {num_features:,} features each; "
        f"{num_unreadable:,} images were unreadable"
    )


def embed_folder(
    encoder: encoders.Encoder, images: str | Path, *, progress: Progress | None = None
) -> Rows:
    """Computes the features of all images in a folder and its subfolders.

    Images are preprocessed as for evaluation: rotated upright, resized to cover the height and
    width of `encoder.info.image_shape`, and cropped to the center.

    Args:
        encoder: A trained encoder.
        images: The folder.
        progress: Receives progress updates, such as monitor.Counter; by default there are none.

    Returns:
        The features [N, F] with the paths of the N images, and the reasons why other files are
        unreadable.

    Raises:
        FileNotFoundError: The folder does not exist or contains no images.
    """
    names, _ = pictures.find(images)
    parts = _split(names, encoder)
    return _compute(encoder, images, parts, {}, _save_nothing, progress or NullProgress())


def embed(
    encoder: encoders.Encoder,
    images: str | Path,
    out: str | Path,
    *,
    progress: Progress | None = None,
) -> Rows:
    """Computes the features of all images in a folder and writes them to a file.

    After an interruption the same call resumes, unless the images or the encoder have changed.
    See embed_folder for the preprocessing and encoders.feature_file.write for the format.

    Args:
        encoder: A trained encoder.
        images: The folder; subfolders are searched too.
        out: The .npz or .parquet file to write.
        progress: Receives progress updates, such as monitor.Counter; by default there are none.

    Returns:
        The features [N, F] with the paths of the N images, and the reasons why other files are
        unreadable.

    Raises:
        FileExistsError: `out` exists.
        FileNotFoundError: The folder does not exist or contains no images.
        UserError: `out` has another suffix.
    """
    out = encoders.feature_file.check(out)
    progress = progress or NullProgress()
    if out.exists():
        raise FileExistsError(f"{out} exists; give another --out, or remove it first.")
    names, unreadable_folders = pictures.find(images)
    for folder, reason in unreadable_folders.items():
        progress.print_line(f"skipped folder {folder}: {reason}")
    out.parent.mkdir(parents=True, exist_ok=True)
    fingerprint = _fingerprint(encoder, paths.local(images), names)
    finished = encoders.feature_file.Parts(out, fingerprint)
    parts = _split(names, encoder)
    done = {n: rows for n in range(len(parts)) if (rows := finished.read(n)) is not None}
    if done:
        count = sum(len(parts[n]) for n in done)
        progress.print_line(f"resuming: {count:,} of {len(names):,} images are done.")
    rows = _compute(encoder, images, parts, done, finished.keep, progress)
    # The parts are removed last, so that an interrupted write can resume.
    encoders.feature_file.write(out, rows, encoder.info._asdict())
    finished.remove()
    return rows


def _split(names: Sequence[str], encoder: encoders.Encoder) -> list[Sequence[str]]:
    """Splits the images into parts, each small enough to fit in memory."""
    size = int(np.prod(encoder.info.image_shape)) * np.dtype(encoder.info.dtype).itemsize
    length = max(min(_MAX_IMAGES, _MAX_BYTES // size), 1)
    return [names[start : start + length] for start in range(0, len(names), length)]


def _save_nothing(number: int, rows: Rows) -> None:
    del number, rows


def _compute(
    encoder: encoders.Encoder,
    images: str | Path,
    parts: Sequence[Sequence[str]],
    done: dict[int, Rows],
    save: Callable[[int, Rows], None],
    progress: Progress,
) -> Rows:
    """Computes the features of all parts; reads those in `done` instead of computing them again."""
    missing = [number for number in range(len(parts)) if number not in done]
    total = sum(map(len, parts))
    count = sum(len(parts[number]) for number in done)
    with pictures.Reader(images, encoder.info.image_shape, encoder.info.dtype) as reader:
        next_futures = reader.start(parts[missing[0]]) if missing else []
        for number, next_number in itertools.zip_longest(missing, missing[1:]):
            # The next part is read while this one is embedded.
            futures = next_futures
            next_futures = [] if next_number is None else reader.start(parts[next_number])
            done[number] = _embed_part(encoder, parts[number], futures)
            save(number, done[number])
            count += len(parts[number])
            progress.show("embedding", count, total)
    return encoders.feature_file.join([done[n] for n in range(len(parts))], encoder.num_features)


def _embed_part(encoder, names, futures) -> Rows:
    images = {}
    unreadable = {}
    for name, future in zip(names, futures, strict=True):
        try:
            images[name] = future.result()
        except ValueError as error:
            unreadable[name] = str(error)
    batch = np.zeros((0, *encoder.info.image_shape), encoder.info.dtype)
    if images:
        batch = np.stack([*images.values()])
    return Rows([*images], encoder(batch), unreadable)


def _fingerprint(encoder: encoders.Encoder, source: Path, names: Sequence[str]) -> str:
    """Returns a fingerprint that changes if the encoder or any of the images changes."""
    digest = hashlib.blake2b(digest_size=16)
    leaves = jax.tree.leaves((encoder.params, encoder.stats))
    buffers: list[Any] = [np.ascontiguousarray(leaf) for leaf in leaves]
    for buffer in buffers:
        digest.update(buffer)
    for name in names:
        try:
            status = os.stat(source / name)
            stamp = f"{status.st_size} {status.st_mtime_ns}"
        except OSError as error:
            stamp = error.strerror
        digest.update(os.fsencode(name) + f" {stamp}\n".encode())
    return json.dumps([str(source.absolute()), encoder.info._asdict(), digest.hexdigest()])
