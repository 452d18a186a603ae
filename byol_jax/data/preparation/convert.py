"""Reading and conversion of image files in several processes, with results that survive interrupts.

The work is split into parts of 100 images. Each finished part has two files in a hidden folder next
to the data set: `000012.bin` contains the bytes of the converted images, and `000012.json` has a
row for each image. The .json file is written last, so a part is complete if it exists.
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

PART = 100  # images; few, so that an interrupt loses little work


class Work(NamedTuple):
    """The input, output and resources of one conversion to a data set.

    Attributes:
        source: Folder to read.
        out: Folder of the new data set.
        limits: Largest number of images by split; None takes all.
        workers: Number of processes that read images.
        progress: Receives progress updates.
    """

    source: Path
    out: Path
    limits: dict[str, int | None]
    workers: int
    progress: Progress


class Converted(NamedTuple):
    """The result of reading an image file: how the image is stored, or why it is unreadable.

    Attributes:
        error: Reason why the file is unreadable; empty if it is readable.
        digest: Hash of the pixels at their original size; equal pixels have equal hashes.
        shape: Shape [H, W, C] of the image that is stored.
        dtype: Name of the type of its pixels, "uint8" or "uint16".
        form: "file" if the source file is used unchanged, "image" for a newly encoded JPEG or PNG,
            "array" for compressed pixels.
        start: Offset of the image's bytes in the .bin file of its part; unused for "file".
        length: Number of bytes in the .bin file; 0 for "file".
    """

    error: str = ""
    digest: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    form: str = ""
    start: int = 0
    length: int = 0


def unfinished(work: Work, plan: str) -> Path:
    """Opens the hidden folder of intermediate results, and deletes outdated results.

    Args:
        work: Input and output of the conversion. The folder is next to its output folder.
        plan: Text that identifies the options and the input files.

    Returns:
        The folder. It is empty, or contains finished parts of the same plan.
    """
    scratch = work.out.parent / f".{work.out.name}.unfinished"
    plan_file = scratch / "plan.json"
    if scratch.exists() and not (
        plan_file.exists() and plan_file.read_text(encoding="utf-8") == plan
    ):
        work.progress.print_line(
            f"{scratch} belongs to another command, or the images have changed; starting from "
            "scratch."
        )
        shutil.rmtree(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    paths.write_whole(plan_file, plan)
    return scratch


def convert(work: Work, names: list[str], scratch: Path, max_side: int | None) -> list[Converted]:
    """Reads image files and converts those that cannot be stored unchanged.

    Parts that are already in `scratch` are not computed again.

    Args:
        work: Input folder, number of processes and receiver of progress updates.
        names: Paths of the image files, relative to the input folder.
        scratch: Folder of intermediate results, from `unfinished`.
        max_side: Length in pixels to which the shorter side of larger images is reduced; None keeps
            all sizes.

    Returns:
        One result per path, in the same order.

    Raises:
        UserError: A process was killed, which usually means that memory ran out.
    """
    starts = range(0, len(names), PART)
    stems = [scratch / f"{number:06d}" for number in range(len(starts))]
    jobs = [
        (str(work.source), names[start : start + PART], stem, max_side)
        for start, stem in zip(starts, stems, strict=True)
        if not stem.with_suffix(".json").exists()
    ]
    total = len(names)
    done = total - sum(len(part_names) for _, part_names, _, _ in jobs)
    if done:
        work.progress.print_line(f"resuming: {done:,} of {total:,} images are done.")

    def count(part_size: int) -> None:
        nonlocal done
        done += part_size
        work.progress.show("reading images", done, total)

    workers = min(work.workers, len(jobs))
    if workers > 1:
        processes.run(_convert_part, jobs, workers, count)
    else:
        for job in jobs:
            count(_convert_part(*job))
    rows = [row for stem in stems for row in json.loads(stem.with_suffix(".json").read_text())]
    return [Converted(*row) for row in rows]


def load(
    source: Path, path: str, scratch: Path, number: int, converted: Converted
) -> bytes | np.ndarray:
    """Loads an image from its source file, or from the converted file if it was converted.

    Args:
        source: Folder of the image files.
        path: Path of the image file, relative to `source`.
        scratch: Folder of intermediate results.
        number: Position of the path in the list that `convert` took.
        converted: The result of `convert` for this path.

    Returns:
        The bytes of an encoded image, or an array [H, W, C].
    """
    if converted.form == "file":
        return (source / path).read_bytes()
    with (scratch / f"{number // PART:06d}.bin").open("rb") as part:
        part.seek(converted.start)
        stored = part.read(converted.length)
    if converted.form == "image":
        return stored
    return images.unpack(stored, converted.dtype, converted.shape)


def _convert_part(source: str, names: list[str], stem: Path, max_side: int | None) -> int:
    """Converts some of the images, writes them to two files, and returns the number of images."""
    rows = []
    part = bytearray()
    for name in names:
        row, stored = _convert(os.path.join(source, name), max_side)
        rows.append(row._replace(start=len(part), length=len(stored)))
        part += stored
    # The .json file marks the part as complete, so it comes last.
    paths.write_whole(stem.with_suffix(".bin"), part)
    paths.write_whole(stem.with_suffix(".json"), json.dumps(rows))
    return len(rows)


def _convert(file: str, max_side: int | None) -> tuple[Converted, bytes]:
    """Converts an image file, unless it is unreadable or can be used unchanged."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of harmless EXIF and size problems; it raises the others as errors.
            warnings.simplefilter("ignore")
            encoded = Path(file).read_bytes()
            picture = images.read(encoded)
    except Exception as error:  # noqa: BLE001 - broken files raise almost any exception
        return Converted(error=files.reason(error)), b""
    digest = hashlib.blake2b(repr(picture.pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(picture.pixels).data)
    pixels = images.shrink(picture.pixels, max_side)
    if picture.plain and pixels is picture.pixels:
        form = "file"
        stored = b""
    elif pixels.dtype == np.uint8 and pixels.shape[-1] in (1, 3):
        form = "image"
        stored = images.encode(pixels, lossy=picture.lossy)
    else:
        form = "array"
        stored = images.pack(pixels)
    converted = Converted(
        digest=digest.hexdigest(), shape=pixels.shape, dtype=pixels.dtype.name, form=form
    )
    return converted, stored
