"""Reads image files, and processes them exactly as `prepare` does when it writes a data set."""

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
    """Finds all image files in a folder and its subfolders.

    Args:
        source: The folder.

    Returns:
        The sorted paths, relative to the folder, and the reasons why subfolders were skipped, by
        their paths.

    Raises:
        FileNotFoundError: The folder does not exist or contains no images.
    """
    source = paths.local(source)
    if not source.is_dir():
        raise FileNotFoundError(f"{source} is not a folder; set --images to a folder of images.")
    names, skipped = files.below(source)
    if not names:
        suffixes = ", *".join(files.SUFFIXES)
        raise FileNotFoundError(f"{source} contains no image files (*{suffixes}).")
    return names, skipped


def read(file: str | Path, shape: tuple[int, int, int], dtype: str) -> np.ndarray:
    """Reads an image file, resizes it to cover a shape, and crops the center.

    Gray images become RGB, and RGB images gray, if the shape needs it.

    Args:
        file: Path of the file.
        shape: Shape (H, W, C) of the result.
        dtype: "uint8" or "uint16".

    Returns:
        The image [H, W, C].

    Raises:
        UserError: The file is not a readable image, or has another number of channels. The message
            is the reason only.
    """
    try:
        pixels = images.read(Path(file).read_bytes()).pixels
    except Exception as error:
        raise errors.UserError(files.reason(error)) from error
    height, width, channels = shape
    pixels = _convert_dtype(_convert_channels(pixels, channels), dtype)
    return images.fit(pixels, (height, width))


class Reader:
    """Reads image files in threads, ahead of their use; a context manager.

    Inside the context, Pillow's warnings are off; it raises errors for files that it cannot read.

    Args:
        source: The folder.
        shape: Shape (H, W, C) of the images.
        dtype: "uint8" or "uint16".
    """

    def __init__(self, source: str | Path, shape: tuple[int, int, int], dtype: str):
        self._source = paths.local(source)
        self._shape = shape
        self._dtype = dtype
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
        """Starts to read files.

        Args:
            names: Paths relative to the source.

        Returns:
            One future per file, with the result of `read`.
        """
        return [
            self._pool.submit(read, self._source / name, self._shape, self._dtype) for name in names
        ]


def _convert_channels(pixels, channels):
    num_channels = pixels.shape[-1]
    if num_channels == channels:
        return pixels
    if (num_channels, channels) == (1, 3):
        return np.repeat(pixels, 3, axis=-1)
    if (num_channels, channels) == (3, 1):
        grey = Image.fromarray(images.to_8_bits(pixels)).convert("L")
        return np.asarray(grey)[..., None]
    raise errors.UserError(
        f"the image has {num_channels} channels, but the encoder needs {channels}"
    )


def _convert_dtype(pixels, dtype):
    if dtype == "uint8":
        return images.to_8_bits(pixels)
    return pixels if pixels.dtype == np.uint16 else pixels.astype(np.uint16) * np.uint16(257)
