"""Reads picture files of a folder exactly as a data set prepared from them would."""

import concurrent.futures
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from byol_jax import errors
from byol_jax.data import files, images
from byol_jax.system import paths


def find(source: str | Path) -> tuple[list[str], dict[str, str]]:
    """The paths of all pictures below a folder, sorted, and why some folders cannot be read.

    Raises FileNotFoundError where `source` is no folder, or has no pictures.
    """
    source = paths.local(source)
    if not source.is_dir():
        raise FileNotFoundError(f"{source} is not a folder; give --images a folder of pictures.")
    names, left_out = files.below(source)
    if not names:
        raise FileNotFoundError(
            f"{source} has no pictures; their names end in {', '.join(files.SUFFIXES)}."
        )
    return names, left_out


def read(file: str | Path, shape: tuple[int, int, int], dtype: str) -> np.ndarray:
    """The picture of a file, resized to cover shape (H, W, C), its center: [H, W, C] of dtype.

    dtype is "uint8" or "uint16". RGB and grey become each other. Raises ValueError, saying why, for
    what is no picture or has another number of channels.
    """
    try:
        pixels = images.read(Path(file).read_bytes()).pixels
    except Exception as error:
        raise errors.UserError(files.reason(error)) from error
    return images.fit(_as(_in_channels(pixels, shape[-1]), dtype), tuple(shape[:2]))


class Reader:
    """Reads pictures in threads, ahead of their use; a context manager.

    Within it Pillow does not warn, of EXIF and of sizes: what matters it raises.
    """

    def __init__(self, source: str | Path, shape: tuple[int, int, int], dtype: str):
        self._source = paths.local(source)
        self._shape, self._dtype = shape, dtype
        self._pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
        self._quiet = warnings.catch_warnings()

    def __enter__(self) -> Self:
        self._quiet.__enter__()
        warnings.filterwarnings("ignore", module="PIL")
        return self

    def __exit__(self, *exception) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._quiet.__exit__(*exception)

    def start(self, names: Sequence[str]) -> list[concurrent.futures.Future]:
        """The pictures of these names in the source, a future each; see `read`."""
        return [
            self._pool.submit(read, self._source / name, self._shape, self._dtype) for name in names
        ]


def _in_channels(pixels, channels):
    found = pixels.shape[-1]
    if found == channels:
        return pixels
    if (found, channels) == (1, 3):
        return np.repeat(pixels, 3, axis=-1)
    if (found, channels) == (3, 1):
        grey = Image.fromarray(images.to_8_bits(pixels)).convert("L")
        return np.asarray(grey)[..., None]
    raise errors.UserError(f"{found} channels, where the encoder takes {channels}")


def _as(pixels, dtype):
    if dtype == "uint8":
        return images.to_8_bits(pixels)
    return pixels if pixels.dtype == np.uint16 else pixels.astype(np.uint16) * np.uint16(257)
