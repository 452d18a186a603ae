"""Finds image files in a folder, formats their names, and explains why a file is unreadable."""

import collections
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff"),
    *(".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"),
)


def below(source: Path) -> tuple[list[str], dict[str, str]]:
    """Finds all image files in a folder and its subfolders.

    Args:
        source: The folder.

    Returns:
        The sorted paths, relative to the folder, and the reasons why subfolders were skipped, by
        their paths.
    """
    skipped = {}
    return sorted(walk(source, "", (), collections.Counter(), skipped)), skipped


def printable(name: str) -> str:
    """Escapes the bytes and characters of a file name that cannot be printed.

    Args:
        name: Name of a file.

    Returns:
        Printable text.
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def walk(
    source: Path,
    folder: str,
    parents: tuple[tuple[int, int], ...],
    others: collections.Counter[str],
    skipped: dict[str, str],
) -> Iterator[str]:
    """Yields the paths of the image files in a folder and its subfolders.

    Args:
        source: The folder at which the search started.
        folder: The folder to search, relative to `source`.
        parents: Device and inode of the folders above, to detect loops of links.
        others: Counts other files by suffix; updated in place.
        skipped: Reasons why folders were skipped, by their paths; updated in place.

    Yields:
        Paths relative to `source`.
    """
    try:
        status = os.stat(source / folder)
        names = os.listdir(source / folder)
    except OSError as error:
        skipped[folder or "."] = error.strerror or str(error)
        return
    here = (status.st_dev, status.st_ino)
    if here in parents:
        skipped[folder] = "a link to one of its parent folders"
        return
    for name in names:
        path = os.path.join(folder, name)
        if name.startswith("."):
            others["hidden"] += 1
        elif os.path.isdir(source / path):
            yield from walk(source, path, (*parents, here), others, skipped)
        elif name.lower().endswith(SUFFIXES):
            yield path
        else:
            others[printable(Path(name).suffix.lower()) or "no suffix"] += 1


def max_pixels() -> int:
    """Returns the number of pixels above which Pillow considers an image unsafe to open."""
    return Image.MAX_IMAGE_PIXELS or sys.maxsize


def reason(error: Exception) -> str:
    """Explains why an image file cannot be read.

    Args:
        error: The exception that images.read raised.

    Returns:
        The reason as text.
    """
    if isinstance(error, Image.UnidentifiedImageError):
        return "its first bytes are not those of an image format that Pillow can read"
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"it has more than {max_pixels():,} pixels, which may be unsafe to open; if you "
            "trust the file, shrink it or split it into tiles first"
        )
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, (OSError, ValueError)) and str(error):
        return str(error)
    return f"the file is damaged ({type(error).__name__}: {error})"
