"""A preview image of the augmented views.

Each row shows a training image, followed by several random draws of each of its views.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from PIL import Image, ImageDraw

from byol_jax import data, errors, randomness
from byol_jax.builders import inputs, views
from byol_jax.system import paths

_GAP = 2  # pixels
_HEADER = 12  # pixels
_MIN_WIDTH = 160  # pixels; smaller views are magnified by a whole factor


def preview(config: ConfigDict, out: str, *, num_images: int = 6, num_draws: int = 4) -> None:
    """Writes an image file that shows training images and random draws of their augmented views.

    Args:
        config: The experiment's config.
        out: Path of the file. Its suffix selects the format.
        num_images: Number of training images, one per row.
        num_draws: Number of random draws of each view.

    Raises:
        UserError: If Pillow does not support the suffix.
    """
    if Path(out).suffix.lower() not in Image.registered_extensions():
        raise errors.UserError(
            f"--out={out} must end in .png, .jpg or another image format that Pillow supports."
        )
    image = sheet(config, num_images=num_images, num_draws=num_draws)
    with paths.whole_file(out, "wb") as file:
        image.save(file, Image.registered_extensions()[Path(out).suffix.lower()])


def sheet(config: ConfigDict, *, num_images: int, num_draws: int) -> Image.Image:
    """Draws a grid of training images and their augmented views, as training sees them.

    Args:
        config: The experiment's config.
        num_images: Number of rows. The images are taken at regular intervals from the split.
        num_draws: Number of random draws of each view.

    Returns:
        The grid, with a column for the image and one for each draw of each view.
    """
    source = _open(config, config.data.image_size)
    size = next(iter(views.settings_of(config).values())).size
    # Images of different sizes are shown cropped to the size of the first view.
    needs_crop = source.sizes_differ and not config.data.image_size
    originals = _open(config, size) if needs_crop else source
    index = np.linspace(0, len(source) - 1, min(num_images, len(source))).astype(np.int32)
    images = _as_shown(originals.take(index)["image"])
    columns = [images, *_draw_views(config, source, index, num_draws)]
    titles = ["image"] + [f"{view} {n + 1}" for view in config.views for n in range(num_draws)]
    return _join(columns, titles)


def _open(config, image_size):
    section = {**config.data.to_dict(), "image_size": image_size}
    return inputs.open_split(section, config.data.train_split)


def _draw_views(config, source, index, num_draws):
    """Returns the columns of the grid: all draws of the first view, then all of the second, etc."""
    reading = inputs.choose(config, source)
    make_views = jax.jit(views.make_views(config, cropped=reading.crops is not None))
    read = data.Reader(source, reading.crops, config.seed)
    rows = np.arange(len(index), dtype=np.int32)
    draws = [
        make_views(
            randomness.row_keys(randomness.step_key(config.seed, jnp.int32(step)), jnp.array(rows)),
            read(index, step, rows)["image"],
        )
        for step in range(num_draws)
    ]
    return [
        _as_shown(draw[number], settings.mean, settings.std)
        for number, settings in enumerate(views.settings_of(config).values())
        for draw in draws
    ]


def _as_shown(images, mean=None, std=None):
    """Returns images [B, h, w, C] as uint8 RGB: denormalized, and magnified if they are small."""
    images = np.asarray(images)
    if mean is not None and not np.issubdtype(images.dtype, np.integer):
        images = images * np.float32(std) + np.float32(mean)
    images = as_rgb(images)
    factor = max(_MIN_WIDTH // images.shape[1], 1)
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def as_rgb(images: np.ndarray) -> np.ndarray:
    """Converts images to RGB with 8 bits per channel.

    Args:
        images: Array [..., C] of integers, which use the range of their dtype, or of floats in
            [0, 1]. If C is not 3, the first channel is shown in grey.

    Returns:
        Array [..., 3], uint8.
    """
    if np.issubdtype(images.dtype, np.integer):
        images = images / np.float32(np.iinfo(images.dtype).max)
    if images.shape[-1] != 3:
        images = np.repeat(images[..., :1], 3, axis=-1)
    return np.round(np.clip(images, 0.0, 1.0) * 255.0).astype(np.uint8)


def _join(columns, titles) -> Image.Image:
    """Places columns of images, each [rows, h, w, 3], side by side with a title above each."""
    widths = [column.shape[2] + _GAP for column in columns]
    height = max(column.shape[1] for column in columns) + _GAP
    grid = Image.new("RGB", (sum(widths), _HEADER + height * len(columns[0])), "white")
    pen = ImageDraw.Draw(grid)
    left = 0
    for column, title, width in zip(columns, titles, widths, strict=True):
        pen.text((left + 1, 0), title, fill="black")
        for row, image in enumerate(column):
            grid.paste(Image.fromarray(image), (left, _HEADER + row * height))
        left += width
    return grid
