"""A picture of what training will see: rows are images, columns the image and draws of its views."""

from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image, ImageDraw

from byol_jax import build, data, randomness

_GAP, _HEADER = 2, 12  # pixels
_SHOWN = 160  # pixels to which smaller views are magnified, a whole number of times


def preview(config: ConfigDict, out: str, *, num_images: int = 6, num_draws: int = 4) -> None:
    """Writes the picture `out`: of num_images training images, num_draws of each of the views.

    Raises ValueError for an `out` whose suffix Pillow does not know.
    """
    if Path(out).suffix.lower() not in Image.registered_extensions():
        raise ValueError(f"--out={out} must end in .png, .jpg or another of Pillow's formats.")
    source = data.open_source(
        config.data.name,
        config.data.train_split,
        data_dir=config.data.data_dir,
        image_size=config.data.image_size,
    )
    chosen = np.linspace(0, len(source) - 1, min(num_images, len(source))).astype(np.int32)
    images = source.take(chosen)["image"]
    columns = [_shown(images, None)] + _draws(config, images, num_draws)
    titles = ["image"] + [f"{view} {n + 1}" for view in config.views for n in range(num_draws)]
    _sheet(columns, titles).save(out)


def _draws(config, images, num_draws):
    """The columns: all draws of the first view, then of the next."""
    make_views = jax.jit(build.make_views(config.views))
    rows = np.arange(len(images), dtype=np.int32)
    draws = [
        make_views(randomness.row_keys(randomness.step_key(config.seed, n), rows), images)
        for n in range(num_draws)
    ]
    sections = list(config.views.values())
    return [
        _shown(draws[n][v], sections[v]) for v in range(len(sections)) for n in range(num_draws)
    ]


def _shown(views, section):
    """Views [B, h, w, C], perhaps normalized, as uint8 RGB, magnified; of many channels the first."""
    views = np.asarray(views)
    if section is None:
        views = views / np.float32(np.iinfo(views.dtype).max)
    else:
        mean, std = build.normalization(section)
        views = views * np.float32(std) + np.float32(mean)
    views = views[..., :3] if views.shape[-1] >= 3 else np.repeat(views[..., :1], 3, axis=-1)
    views = np.round(np.clip(views, 0.0, 1.0) * 255.0).astype(np.uint8)
    times = max(_SHOWN // views.shape[1], 1)
    return views.repeat(times, axis=1).repeat(times, axis=2)


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
