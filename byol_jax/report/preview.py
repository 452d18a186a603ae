"""A picture of what training will see: rows are images, columns the image and draws of its views."""

from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image, ImageDraw

from byol_jax import data, errors, randomness
from byol_jax.builders import inputs, views
from byol_jax.system import paths

_GAP, _HEADER = 2, 12  # pixels
_SHOWN = 160  # pixels to which smaller views are magnified, a whole number of times


def preview(config: ConfigDict, out: str, *, num_images: int = 6, num_draws: int = 4) -> None:
    """Writes the picture of `sheet` to `out`.

    Raises UserError for an `out` whose suffix Pillow does not know.
    """
    if Path(out).suffix.lower() not in Image.registered_extensions():
        raise errors.UserError(
            f"--out={out} must end in .png, .jpg or another of Pillow's formats."
        )
    picture = sheet(config, num_images=num_images, num_draws=num_draws)
    with paths.whole_file(out, "wb") as file:
        picture.save(file, Image.registered_extensions()[Path(out).suffix.lower()])


def sheet(config: ConfigDict, *, num_images: int, num_draws: int) -> Image.Image:
    """Of num_images training images, evenly spaced, num_draws of each of the views."""
    source = _open(config, config.data.image_size)
    size = next(iter(views.settings_of(config).values())).size
    whole = _open(config, size) if source.sizes_differ and not config.data.image_size else source
    chosen = np.linspace(0, len(source) - 1, min(num_images, len(source))).astype(np.int32)
    columns = [_shown(whole.take(chosen)["image"]), *_draws(config, source, chosen, num_draws)]
    titles = ["image"] + [f"{view} {n + 1}" for view in config.views for n in range(num_draws)]
    return _sheet(columns, titles)


def _open(config, image_size):
    section = {**config.data.to_dict(), "image_size": image_size}
    return inputs.open_split(section, config.data.train_split)


def _draws(config, source, chosen, num_draws):
    """The columns: all draws of the first view, then of the next."""
    reading = inputs.choose(config, source)
    make_views = jax.jit(views.make_views(config, cropped=reading.crops is not None))
    read = data.Reader(source, reading.crops, config.seed)
    rows = np.arange(len(chosen), dtype=np.int32)
    draws = [
        make_views(
            randomness.row_keys(randomness.step_key(config.seed, step), rows),
            read(chosen, step, rows)["image"],
        )
        for step in range(num_draws)
    ]
    return [
        _shown(step[number], settings.mean, settings.std)
        for number, settings in enumerate(views.settings_of(config).values())
        for step in draws
    ]


def _shown(images, mean=None, std=None):
    """Images [B, h, w, C] as uint8 RGB, magnified."""
    images = np.asarray(images)
    if mean is not None and not np.issubdtype(images.dtype, np.integer):
        images = images * np.float32(std) + np.float32(mean)
    images = as_rgb(images)
    times = max(_SHOWN // images.shape[1], 1)
    return images.repeat(times, axis=1).repeat(times, axis=2)


def as_rgb(images: np.ndarray) -> np.ndarray:
    """[..., C], of integers or in [0, 1], as uint8 [..., 3]: of other than RGB the first, in grey."""
    if np.issubdtype(images.dtype, np.integer):
        images = images / np.float32(np.iinfo(images.dtype).max)
    if images.shape[-1] != 3:
        images = np.repeat(images[..., :1], 3, axis=-1)
    return np.round(np.clip(images, 0.0, 1.0) * 255.0).astype(np.uint8)


def _sheet(columns, titles):
    widths = [column.shape[2] + _GAP for column in columns]
    height = max(column.shape[1] for column in columns) + _GAP
    sheet = Image.new("RGB", (sum(widths), _HEADER + height * len(columns[0])), "white")
    pen = ImageDraw.Draw(sheet)
    left = 0
    for column, title, width in zip(columns, titles, widths, strict=True):
        pen.text((left + 1, 0), title, fill="black")
        for row, view in enumerate(column):
            sheet.paste(Image.fromarray(view), (left, _HEADER + row * height))
        left += width
    return sheet
