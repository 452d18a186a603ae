"""The features of a folder of pictures, in memory or in a file."""

import hashlib
import json
import os
from pathlib import Path

import jax
import numpy as np

from byol_jax import encoder as encoders
from byol_jax.data import pictures
from byol_jax.data.preparation import convert
from byol_jax.encoder.rows import Rows

_AT_ONCE = 512  # pictures
_BYTES = 2**28  # of pictures read at once, at most


def embed_folder(encoder: encoders.Encoder, images: str | Path, *, progress=None) -> Rows:
    """The features of all pictures below a folder, and which could not be read and why.

    They are read as training data were: upright, resized to cover encoder.about.image_shape, and
    cut to their center. progress: whom to tell (see report.Counter).

    Raises FileNotFoundError where there is no such folder, or no picture in it.
    """
    paths, _ = pictures.find(images)
    parts = _cut(paths, encoder)
    return _compute(
        encoder, images, parts, lambda number, rows: None, {}, progress or convert.Silence()
    )


def embed(encoder: encoders.Encoder, images: str | Path, out: str | Path, *, progress=None) -> Rows:
    """As embed_folder, and writes `out`, .npz or .parquet (see encoder.rows.write).

    Interrupted, the same call goes on from where it was, unless pictures or encoder have changed.

    Raises ValueError for another suffix, FileExistsError when `out` is there, and as embed_folder.
    """
    out, progress = encoders.rows.check(out), progress or convert.Silence()
    if out.exists():
        raise FileExistsError(f"{out} exists; give another --out, or remove it first.")
    paths, left_out = pictures.find(images)
    for folder, why in left_out.items():
        progress.tell(f"left out: {folder}: {why}")
    out.parent.mkdir(parents=True, exist_ok=True)
    kept = encoders.rows.Parts(out, _plan(encoder, Path(images).expanduser(), paths))
    parts = _cut(paths, encoder)
    done = {n: rows for n in range(len(parts)) if (rows := kept.read(n)) is not None}
    if done:
        count = sum(len(parts[n]) for n in done)
        progress.tell(f"going on: {count:,} of {len(paths):,} pictures are done.")
    rows = _compute(encoder, images, parts, kept.keep, done, progress)
    encoders.rows.write(out, rows, encoder.about._asdict())
    kept.remove()
    return rows


def _cut(paths, encoder):
    size = int(np.prod(encoder.about.image_shape)) * np.dtype(encoder.about.dtype).itemsize
    at_once = max(min(_AT_ONCE, _BYTES // size), 1)
    return [paths[start : start + at_once] for start in range(0, len(paths), at_once)]


def _compute(encoder, images, parts, keep, done, progress) -> Rows:
    """The rows of all parts, of which some are done; the next part is read meanwhile."""
    left = [number for number in range(len(parts)) if number not in done]
    total, count = sum(map(len, parts)), sum(len(parts[n]) for n in done)
    with pictures.Reader(images, encoder.about.image_shape, encoder.about.dtype) as reader:
        coming = reader.start(parts[left[0]]) if left else []
        for place, number in enumerate(left):
            futures = coming
            coming = reader.start(parts[left[place + 1]]) if place + 1 < len(left) else []
            done[number] = _rows(encoder, parts[number], futures)
            keep(number, done[number])
            count += len(parts[number])
            progress.show("embedding", count, total)
    return encoders.rows.join([done[n] for n in range(len(parts))], encoder.num_features)


def _rows(encoder, paths, futures) -> Rows:
    found, unreadable = {}, {}
    for path, future in zip(paths, futures, strict=True):
        try:
            found[path] = future.result()
        except ValueError as error:
            unreadable[path] = str(error)
    shape = (0, *encoder.about.image_shape)
    images = np.stack([*found.values()]) if found else np.zeros(shape, encoder.about.dtype)
    return Rows([*found], encoder(images), unreadable)


def _plan(encoder, source, paths) -> str:
    """Text that differs where a picture or the encoder has changed."""
    every = hashlib.blake2b(digest_size=16)
    for leaf in jax.tree.leaves((encoder.params, encoder.stats)):
        every.update(np.ascontiguousarray(leaf))
    for path in paths:
        try:
            status = os.stat(source / path)
            stamp = f"{status.st_size} {status.st_mtime_ns}"
        except OSError as error:
            stamp = error.strerror
        every.update(os.fsencode(path) + f" {stamp}\n".encode())
    return json.dumps([str(source.absolute()), encoder.about._asdict(), every.hexdigest()])
