"""python -m byol_jax embed: compute the features of a folder of pictures."""

import argparse
import hashlib
import itertools
import json
import os
import sys
from pathlib import Path

import jax
import numpy as np

from byol_jax import encoders, monitor
from byol_jax.commands import arguments
from byol_jax.data import pictures
from byol_jax.encoders.feature_file import Rows
from byol_jax.system import paths
from byol_jax.system.progress import NullProgress

EXAMPLE = "embed --workdir=runs/quickstart --images=photos --out=features.npz"
_AT_ONCE = 512  # pictures
_BYTES = 2**28  # of pictures read at once, at most


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `embed`."""
    parser.add_argument("--workdir", metavar="FOLDER", help="a run")
    parser.add_argument("--encoder", metavar="FILE", help="an encoder's file, in place of a run")
    parser.add_argument("--images", metavar="FOLDER", help="pictures, at any depth")
    parser.add_argument("--out", metavar="FILE.npz|FILE.parquet", help="what to write")
    parser.require("images", "out")
    parser.require_one("encoder", "workdir")


def run(flags: argparse.Namespace) -> None:
    """Embeds, and prints which pictures could not be read."""
    try:
        with monitor.Counter() as counter:
            encoder = encoders.load(flags.encoder or flags.workdir)
            rows = embed(encoder, flags.images, flags.out, progress=counter)
    except KeyboardInterrupt:
        sys.exit("interrupted; run the same command to go on from here.")
    sys.stdout.reconfigure(errors="backslashreplace")  # file names have any encoding
    for path, why in rows.unreadable.items():
        print(f"unreadable: {path}: {why}")
    shape = " x ".join(f"{side:,}" for side in rows.features.shape)
    print(f"wrote {flags.out}: {shape} features; unreadable {len(rows.unreadable):,}")


def embed_folder(encoder: encoders.Encoder, images: str | Path, *, progress=None) -> Rows:
    """The features of all pictures below a folder, and which could not be read and why.

    They are read as training data were: upright, resized to cover encoder.about.image_shape, and
    cut to their center. progress: receives updates, such as monitor.Counter.

    Raises FileNotFoundError where there is no such folder, or no picture in it.
    """
    names, _ = pictures.find(images)
    parts = _cut(names, encoder)
    return _compute(
        encoder, images, parts, lambda number, rows: None, {}, progress or NullProgress()
    )


def embed(encoder: encoders.Encoder, images: str | Path, out: str | Path, *, progress=None) -> Rows:
    """As embed_folder, and writes `out`, .npz or .parquet (see encoders.feature_file.write).

    Interrupted, the same call goes on from where it was, unless pictures or encoder have changed.

    Raises ValueError for another suffix, FileExistsError when `out` is there, and as embed_folder.
    """
    out = encoders.feature_file.check(out)
    progress = progress or NullProgress()
    if out.exists():
        raise FileExistsError(f"{out} exists; give another --out, or remove it first.")
    names, left_out = pictures.find(images)
    for folder, why in left_out.items():
        progress.tell(f"left out: {folder}: {why}")
    out.parent.mkdir(parents=True, exist_ok=True)
    fingerprint = _fingerprint(encoder, paths.local(images), names)
    finished = encoders.feature_file.Parts(out, fingerprint)
    parts = _cut(names, encoder)
    done = {n: rows for n in range(len(parts)) if (rows := finished.read(n)) is not None}
    if done:
        count = sum(len(parts[n]) for n in done)
        progress.tell(f"going on: {count:,} of {len(names):,} pictures are done.")
    rows = _compute(encoder, images, parts, finished.keep, done, progress)
    encoders.feature_file.write(out, rows, encoder.about._asdict())
    finished.remove()
    return rows


def _cut(names, encoder):
    size = int(np.prod(encoder.about.image_shape)) * np.dtype(encoder.about.dtype).itemsize
    at_once = max(min(_AT_ONCE, _BYTES // size), 1)
    return [names[start : start + at_once] for start in range(0, len(names), at_once)]


def _compute(encoder, images, parts, keep, done, progress) -> Rows:
    """The rows of all parts, of which some are done; the next part is read meanwhile."""
    left = [number for number in range(len(parts)) if number not in done]
    total = sum(map(len, parts))
    count = sum(len(parts[number]) for number in done)
    with pictures.Reader(images, encoder.about.image_shape, encoder.about.dtype) as reader:
        next_futures = reader.start(parts[left[0]]) if left else []
        for number, next_number in itertools.zip_longest(left, left[1:]):
            futures = next_futures
            next_futures = [] if next_number is None else reader.start(parts[next_number])
            done[number] = _rows(encoder, parts[number], futures)
            keep(number, done[number])
            count += len(parts[number])
            progress.show("embedding", count, total)
    return encoders.feature_file.join([done[n] for n in range(len(parts))], encoder.num_features)


def _rows(encoder, names, futures) -> Rows:
    images, unreadable = {}, {}
    for name, future in zip(names, futures, strict=True):
        try:
            images[name] = future.result()
        except ValueError as error:
            unreadable[name] = str(error)
    batch = np.zeros((0, *encoder.about.image_shape), encoder.about.dtype)
    if images:
        batch = np.stack([*images.values()])
    return Rows([*images], encoder(batch), unreadable)


def _fingerprint(encoder, source, names) -> str:
    """Text that differs where a picture or the encoder has changed."""
    digest = hashlib.blake2b(digest_size=16)
    for leaf in jax.tree.leaves((encoder.params, encoder.stats)):
        digest.update(np.ascontiguousarray(leaf))
    for name in names:
        try:
            status = os.stat(source / name)
            stamp = f"{status.st_size} {status.st_mtime_ns}"
        except OSError as error:
            stamp = error.strerror
        digest.update(os.fsencode(name) + f" {stamp}\n".encode())
    return json.dumps([str(source.absolute()), encoder.about._asdict(), digest.hexdigest()])
