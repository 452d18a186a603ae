"""The preview shows the images and the very views that training draws of them."""

import numpy as np
import pytest
from PIL import Image

from byol_jax import data
from byol_jax.config import fields
from byol_jax.report import preview


def _config(**view):
    config = fields.default()
    still = {"name": "plain", "size": 28, **view}
    config.views = {
        "first": still,
        "second": {**still, "order": ("flip",), "flip_probability": 1.0},
    }
    return config


def _cells(file, num_rows, num_columns):
    sheet = np.asarray(Image.open(file))[12:, :, 0]
    cells = sheet.reshape(num_rows, 142, num_columns, 142).transpose(0, 2, 1, 3)
    return cells[:, :, 2:140:5, 2:140:5]  # one pixel of each magnified one


@pytest.mark.parametrize("normal", [{}, {"mean": (0.25,), "std": (0.5,)}])
def test_rows_are_images_and_columns_draws_of_each_view(normal, tmp_path):
    preview.preview(_config(**normal), str(tmp_path / "views.png"), num_images=3, num_draws=2)
    cells = _cells(tmp_path / "views.png", 3, 5)
    source = data.open_source("fashion_mnist_10k", "train")
    images = source.take(np.array([0, 4999, 9999]))["image"][..., 0]
    for column in range(3):  # the image, and two draws of a view that changes nothing
        np.testing.assert_array_equal(cells[:, column], images)
    for column in range(3, 5):
        np.testing.assert_array_equal(cells[:, column], images[:, :, ::-1])


def test_a_format_that_pillow_does_not_know_is_refused():
    with pytest.raises(ValueError, match="--out=views.xyz must end in .png"):
        preview.preview(_config(), "views.xyz")
