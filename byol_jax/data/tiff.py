"""Reads TIFF images that Pillow cannot read, or reads with loss: 16 bits, or many channels."""

import io
import logging
from typing import Any

import numpy as np
from PIL import Image

from byol_jax import errors
from byol_jax.data import files

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STACKS = ("shaped", "imagej", "ome")  # formats whose pages are one array
_ALPHA = (1, 2)  # values of the tag ExtraSamples


def is_tiff(encoded: bytes) -> bool:
    """Checks whether a file is a TIFF file.

    Args:
        encoded: Contents of the file.

    Returns:
        True if the first bytes are those of a TIFF file.
    """
    return encoded[:4] in _MAGIC


def read(encoded: bytes) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Reads the first image of a TIFF file, or returns None if Pillow can read the file.

    Pages are channels if the file declares that they form one array. If no axis is declared as the
    channel axis, the shortest axis is used.

    Args:
        encoded: Contents of the file.

    Returns:
        The image, uint8 or uint16 [H, W, C], and its opacity [H, W, 1], None if it is opaque. None
        instead of both if Pillow can read the file: up to 8 bits in gray, RGB, CMYK or a palette.

    Raises:
        UserError: The numbers are not uint8 or uint16.
        DecompressionBombError: The image has more pixels than Pillow considers safe.
    """
    import tifffile  # imported here, because it is slow to import and most folders have no TIFF

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # errors are raised anyway
    with tifffile.TiffFile(io.BytesIO(encoded)) as file:
        page: Any = file.pages[0]
        series = file.series[0]
        stacked = page.ndim == 2 and series.ndim == 3 and series.kind in _STACKS
        first = page.samplesperpixel - len(page.extrasamples)
        alphas = [first + n for n, kind in enumerate(page.extrasamples) if int(kind) in _ALPHA]
        colors = page.samplesperpixel - len(alphas)
        usual = colors in (1, 3) or page.photometric == tifffile.PHOTOMETRIC.SEPARATED
        if page.bitspersample <= 8 and usual and not stacked:
            return None
        if page.imagelength * page.imagewidth > files.max_pixels():
            raise Image.DecompressionBombError
        part = series if stacked else page
        if part.dtype not in (np.uint8, np.uint16):
            raise errors.UserError(
                f"{part.dtype} values have no defined range; store integers of 8 or 16 bits"
            )
        pixels = _channels_last(part.asarray(), part.axes)
    if not any(alphas):
        return pixels, None
    return np.delete(pixels, alphas, axis=-1), pixels[..., alphas[:1]]


def _channels_last(pixels, axes):
    if pixels.ndim == 2:
        return pixels[..., None]
    if pixels.ndim != 3:
        raise errors.UserError(f"its axes are {axes}; an image needs rows, columns and channels")
    named = [axis for axis, name in enumerate(axes) if name in "SC"]
    return np.moveaxis(pixels, named[0] if named else int(np.argmin(pixels.shape)), -1)
