"""Picture files below a folder: their paths, their names as text, and why one cannot be read."""

import collections
import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff"),
    *(".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"),
)


def below(source: Path) -> tuple[list[str], dict[str, str]]:
    """The paths of all pictures below `source`, sorted, and why some folders are not read."""
    left_out = {}
    return sorted(walk(source, "", (), collections.Counter(), left_out)), left_out


def printable(name: str) -> str:
    """A file's name as text that can be printed and stored, whatever bytes it is made of."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def walk(source: Path, folder: str, above: tuple, others, left_out) -> Iterator[str]:
    """Paths of pictures; counts other files, and says which folders cannot be read."""
    try:
        status = os.stat(source / folder)
        names = os.listdir(source / folder)
    except OSError as error:
        left_out[folder or "."] = error.strerror
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        left_out[folder] = "a link back to a folder that it is in"
        return
    for name in names:
        path = os.path.join(folder, name)
        if name.startswith("."):
            others["hidden"] += 1
        elif os.path.isdir(source / path):
            yield from walk(source, path, (*above, here), others, left_out)
        elif name.lower().endswith(SUFFIXES):
            yield path
        else:
            others[printable(Path(name).suffix.lower()) or "no suffix"] += 1


def reason(error: Exception) -> str:
    """Why a picture cannot be read, in words, from what images.read raised."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "no picture that Pillow knows, by its first bytes"
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"it has more than the {Image.MAX_IMAGE_PIXELS:,} pixels that are safe to open; if you "
            "trust the file, make it smaller or cut it into tiles first"
        )
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, (OSError, ValueError)) and str(error):
        return str(error)
    return f"a broken file ({type(error).__name__}: {error})"
