"""Checks pictures, and converts those that need it, in many processes; what is done stays done.

The work is cut into parts of a hundred pictures. A part that is done is two files in a hidden
folder beside the data set: `000012.json`, a row per picture, renamed into place last, and
`000012.bin`, the bytes of those pictures that had to be converted.
"""

import hashlib
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from byol_jax.data import files, images
from byol_jax.data.preparation import processes
from byol_jax.system import paths
from byol_jax.system.progress import Progress

PART = 100  # pictures: few enough to lose little by an interrupt


class Work(NamedTuple):
    """What to prepare: from where, to where, how many pictures of each split, by whom."""

    source: Path
    out: Path
    limits: dict[str, int | None]
    workers: int
    progress: Progress


class Converted(NamedTuple):
    """What became of a file: `why` it could not be read, or how it is kept.

    form: "file" as it is, "image" encoded anew, "array" packed, the two from `start` of the part's
    bytes on.  digest: equal where the pixels, before they are made smaller, are.
    """

    why: str = ""
    digest: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    form: str = ""
    start: int = 0
    length: int = 0


def unfinished(work: Work, plan: str) -> Path:
    """The folder beside `out` for work on `plan`, empty if it held another plan's."""
    scratch = work.out.parent / f".{work.out.name}.unfinished"
    note = scratch / "plan.json"
    if scratch.exists() and (not note.exists() or note.read_text(encoding="utf-8") != plan):
        work.progress.tell(
            f"{scratch} is of another command, or of pictures that have changed: starting anew."
        )
        shutil.rmtree(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    paths.write_whole(note, plan)
    return scratch


def convert(work: Work, names: list[str], scratch: Path, max_side: int | None) -> list[Converted]:
    """What becomes of each of the files below the source; parts in `scratch` are not redone.

    Raises RuntimeError when a process dies, which picture libraries do when memory runs out.
    """
    starts = range(0, len(names), PART)
    stems = [scratch / f"{number:06d}" for number in range(len(starts))]
    jobs = [
        (str(work.source), names[start : start + PART], stem, max_side)
        for start, stem in zip(starts, stems, strict=True)
        if not stem.with_suffix(".json").exists()
    ]
    left, total = sum(len(job[1]) for job in jobs), len(names)
    if left < total:
        work.progress.tell(f"going on: {total - left:,} of {total:,} pictures are done.")

    def done(count):
        nonlocal left
        left -= count
        work.progress.show("reading pictures", total - left, total)

    workers = min(work.workers, len(jobs))
    if workers > 1:
        processes.run(_convert_part, jobs, workers, done)
    else:
        for job in jobs:
            done(_convert_part(*job))
    rows = [row for stem in stems for row in json.loads(stem.with_suffix(".json").read_text())]
    return [Converted(*row) for row in rows]


def load(
    source: Path, path: str, scratch: Path, number: int, found: Converted
) -> bytes | np.ndarray:
    """The picture of names[number] as `convert` kept it: encoded, or an array [H, W, C]."""
    if found.form == "file":
        return (source / path).read_bytes()
    with (scratch / f"{number // PART:06d}.bin").open("rb") as part:
        part.seek(found.start)
        kept = part.read(found.length)
    return kept if found.form == "image" else images.unpack(kept, found.dtype, found.shape)


def _convert_part(source: str, names: list[str], stem: Path, max_side: int | None) -> int:
    rows, kept = [], bytearray()
    for name in names:
        row, converted = _convert(os.path.join(source, name), max_side)
        rows.append(row._replace(start=len(kept), length=len(converted)))
        kept += converted
    paths.write_whole(stem.with_suffix(".bin"), kept)
    paths.write_whole(stem.with_suffix(".json"), json.dumps(rows))
    return len(rows)


def _convert(file: str, max_side: int | None) -> tuple[Converted, bytes]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of EXIF and sizes; what matters it raises
            encoded = Path(file).read_bytes()
            picture = images.read(encoded)
    except Exception as error:  # noqa: BLE001 - broken files raise nearly everything
        return Converted(why=files.reason(error)), b""
    digest = hashlib.blake2b(repr(picture.pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(picture.pixels))
    pixels = images.shrink(picture.pixels, max_side)
    if picture.plain and pixels is picture.pixels:
        form, kept = "file", b""
    elif pixels.dtype == np.uint8 and pixels.shape[-1] in (1, 3):
        form, kept = "image", images.encode(pixels, lossy=picture.lossy)
    else:
        form, kept = "array", images.pack(pixels)
    return Converted("", digest.hexdigest(), pixels.shape, pixels.dtype.name, form), kept
