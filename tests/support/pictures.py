"""Image files for tests."""

import struct
import zlib

import numpy as np
import tifffile
from PIL import Image

from byol_jax import data


def pixels(seed, *shape, dtype=np.uint8):
    """Returns random pixels over the whole range of an integer type."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def save(path, pixels, **options):
    """Saves an array by Pillow and creates missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def folder(folder, count, size=(6, 8)):
    """Writes `count` PNG files with random pixels to a folder; returns the folder."""
    for number in range(count):
        save(folder / f"{number}.png", pixels(number, *size, 3))
    return folder


def tiff(path, pixels, **options):
    """Saves an array by tifffile and creates missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, **options)


def open_split(out, split="train", **options):
    """Opens a split of a data set that `data.prepare` wrote."""
    return data.open_source(str(out), split, **options)


def huge_png(height, width):
    """Returns the bytes of a PNG file that claims this size but has no such contents."""
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(100))),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
