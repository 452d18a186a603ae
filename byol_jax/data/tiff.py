"""TIFF pictures that Pillow cannot read, or not whole: 16 bits, or channels by the dozen."""

import io
import logging

import numpy as np
from PIL import Image

from byol_jax import errors

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STACKS = ("shaped", "imagej", "ome")  # files that say themselves that their pages are one array
_ALPHA = (1, 2)  # of the tag ExtraSamples


def is_tiff(encoded: bytes) -> bool:
    """Whether a file's bytes start as a TIFF's do."""
    return encoded[:4] in _MAGIC


def read(encoded: bytes) -> tuple[np.ndarray, np.ndarray | None] | None:
    """The first picture, uint8 or uint16 [H, W, C], and its alpha [H, W, 1] or None.

    None for both where Pillow reads all there is: up to 8 bits in grey, RGB, CMYK or a palette,
    with or without alpha. Pages are channels where the file says that they are one array; where it
    names no axis of channels, that is the shortest. Raises ValueError for other types of numbers.
    """
    import tifffile  # here, so that those without TIFF do not wait for it

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what matters it raises
    with tifffile.TiffFile(io.BytesIO(encoded)) as file:
        page, series = file.pages[0], file.series[0]
        stacked = page.ndim == 2 and series.ndim == 3 and series.kind in _STACKS
        first = page.samplesperpixel - len(page.extrasamples)
        alphas = [first + n for n, kind in enumerate(page.extrasamples) if int(kind) in _ALPHA]
        colors = page.samplesperpixel - len(alphas)
        usual = colors in (1, 3) or page.photometric == tifffile.PHOTOMETRIC.SEPARATED
        if page.bitspersample <= 8 and usual and not stacked:
            return None
        if page.imagelength * page.imagewidth > Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError
        part = series if stacked else page
        if part.dtype not in (np.uint8, np.uint16):
            raise errors.UserError(f"{part.dtype} values have no set range; store 8 or 16 bits")
        pixels = _channels_last(part.asarray(), part.axes)
    if not any(alphas):
        return pixels, None
    return np.delete(pixels, alphas, axis=-1), pixels[..., alphas[:1]]


def _channels_last(pixels, axes):
    if pixels.ndim == 2:
        return pixels[..., None]
    if pixels.ndim != 3:
        raise errors.UserError(f"its axes are {axes} and a picture has rows, columns and channels")
    named = [axis for axis, name in enumerate(axes) if name in "SC"]
    return np.moveaxis(pixels, named[0] if named else int(np.argmin(pixels.shape)), -1)
