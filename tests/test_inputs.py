"""Which way images take: by their size, or as the config says; and what is refused."""

import jax
import numpy as np
import pytest
from PIL import Image

from byol_jax import data
from byol_jax.builders import inputs, views
from byol_jax.config import check, fields
from byol_jax.training import train


def _pictures(folder, sizes):
    rng = np.random.default_rng(0)
    (folder / "in").mkdir()
    for number, (height, width) in enumerate(sizes):
        coarse = rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((width, height)).save(folder / f"in/{number:02}.jpg")
    data.prepare(folder / "in", folder / "out", workers=1)
    return str(folder / "out")


def _config(name, **options):
    config = fields.default()
    config.data.update({"name": name, **options})
    first = {"name": "byol_1", "size": 16}
    config.views = {"first": first, "second": {**first, "name": "byol_2"}}
    config.encoder = {"name": "resnet_tiny"}
    config.projector = {"widths": (12, 10)}
    config.method = {"name": "simclr"}
    config.batch_size, config.epochs, config.log_every_steps = 8, 3, 1
    config.evaluate.protocols = ()
    return config


def _choose(config):
    source = data.open_source(config.data.name, "train", image_size=config.data.image_size)
    return inputs.choose(config, source)


SMALL, LARGE, MIXED = [(30, 40)] * 16, [(140, 130)] * 16, [(140, 130), (40, 60)] * 8


@pytest.mark.parametrize(
    ("sizes", "options", "resident", "on_host"),
    [
        (SMALL, {}, True, False),
        (SMALL, {"mode": "streamed"}, False, False),
        (SMALL, {"crops": "host"}, False, True),
        (LARGE, {}, True, False),  # small as a whole
        (LARGE, {"mode": "streamed"}, False, True),
        (LARGE, {"mode": "streamed", "crops": "device"}, False, False),
        (MIXED, {}, False, True),
        (MIXED, {"mode": "resident", "image_size": 32}, True, False),
    ],
)
def test_auto_looks_at_the_size_of_pictures_and_data(sizes, options, resident, on_host, tmp_path):
    way = _choose(_config(_pictures(tmp_path, sizes), **options))
    assert (way.resident, way.crops is not None) == (resident, on_host)
    assert way.workers == 0 if resident else way.workers > 0


def test_crops_of_the_host_depend_on_seed_step_and_row_alone(tmp_path):
    config = _config(_pictures(tmp_path, MIXED), workers=0)
    source = data.open_source(config.data.name, "train")
    way = _choose(config)
    reader = data.Reader(source, way.crops, 1)
    index = np.array([3, 1, 2, 3])
    whole = reader(index, 7, np.arange(4))["image"]
    assert whole.shape == (4, 2, 16, 16, 3) and whole.dtype == np.uint8
    np.testing.assert_array_equal(reader(index[2:], 7, np.arange(2, 4))["image"], whole[2:])
    assert np.any(whole[0] != whole[3])  # another row of the same picture
    assert np.any(whole[:, 0] != whole[:, 1])  # another view
    assert np.any(reader(index, 8, np.arange(4))["image"] != whole)
    assert np.any(data.Reader(source, way.crops, 2)(index, 7, np.arange(4))["image"] != whole)


def test_views_of_crops_are_the_views_without_their_crop():
    config = _config("fashion_mnist_10k")
    still = {"flip_probability": 0.0, "jitter_probability": 0.0, "grayscale_probability": 0.0}
    still |= {"blur_probability": 0.0, "solarize_probability": 0.0, "mean": None, "std": None}
    for view in config.views.values():
        view.update(still)
    crops = np.random.default_rng(0).integers(0, 256, (3, 2, 16, 16, 3), dtype=np.uint8)
    made = views.make_views(config, cropped=True)(jax.random.split(jax.random.key(0), 3), crops)
    for number in range(2):
        np.testing.assert_allclose(made[number], crops[:, number] / 255, atol=1e-6)


def test_pictures_of_any_size_train_without_an_image_size(tmp_path):
    config = _config(_pictures(tmp_path, MIXED), workers=0)
    train.train(config, tmp_path / "run")
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "remote"}, "data.mode is 'remote'; it must be one of auto, resident, streamed"),
        ({"crops": "cpu"}, "data.crops is 'cpu'; it must be one of auto, device, host"),
        ({"mode": "resident", "crops": "host"}, "so the host cannot crop them"),
    ],
)
def test_what_cannot_be_is_refused(options, words):
    config = _config("fashion_mnist_10k", **options)
    with pytest.raises(ValueError, match=words):
        check.check(config)
        _choose(config)


@pytest.mark.parametrize(
    ("view", "words"),
    [
        ({"order": ("flip", "crop")}, "a view does not begin with its crop"),
        ({"size": 20}, "the views differ in size, method or antialias"),
        ({"method": "bilinear"}, "the views differ in size, method or antialias"),
    ],
)
def test_views_that_the_host_cannot_crop_say_why(view, words):
    config = _config("fashion_mnist_10k", crops="host")
    config.views.second = {**config.views.second, **view}
    with pytest.raises(
        ValueError, match=f"the host cannot cut the crops because {words}; set config.data.crops"
    ):
        _choose(config)
