"""Data sets of TFDS: found as TFDS users expect, and an error says what to do."""

import types

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from byol_jax import data
from byol_jax.data import catalog


def test_a_prepared_data_set_is_read_by_its_name_and_by_parts(tmp_path):
    for number in range(20):
        folder = tmp_path / "in" / ("train" if number < 10 else "test") / "airplane"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (number, 0, 0)).save(folder / f"{number:02}.png")
    version = str(tfds.builder("cifar10", data_dir=tmp_path / "none").version)
    prepared = tmp_path / "cifar10" / version
    data.prepare(tmp_path / "in", tmp_path / "out" / "cifar10")
    info = tmp_path / "out/cifar10/dataset_info.json"
    info.write_text(info.read_text().replace("1.0.0", version))  # as TFDS would have made it
    prepared.parent.mkdir()
    (tmp_path / "out/cifar10").rename(prepared)
    source = data.open_source("cifar10", "train[:90%]", data_dir=str(tmp_path))
    assert len(source) == 9 and source.image_shape == (32, 32, 3)
    np.testing.assert_array_equal(source.images[:9][:, 0, 0, 0], np.arange(9))


def _failing(error):
    def download_and_prepare():
        raise error

    info = types.SimpleNamespace(splits={})
    return lambda name, data_dir: types.SimpleNamespace(
        name=name, data_dir=data_dir, info=info, download_and_prepare=download_and_prepare
    )


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (ImportError("No module named 'tensorflow'"), ImportError, r"install 'byol_jax\[tfds\]'"),
        (
            AssertionError("Manual directory does not exist: put ILSVRC2012_img_train.tar there."),
            FileNotFoundError,
            "TFDS cannot download 'imagenet2012' automatically. .*img_train.tar there. "
            "Afterwards, run the same command again",
        ),
        (
            OSError("Failed to resolve host"),
            OSError,
            r"could not download .*resolve host.*tfds.builder\('imagenet2012', data_dir='FOLDER'",
        ),
    ],
)
def test_a_data_set_that_cannot_be_prepared_says_what_to_do(error, raised, words, monkeypatch):
    monkeypatch.setattr(catalog, "_builder", _failing(error))
    with pytest.raises(raised, match=words):
        data.open_source("imagenet2012", "train", data_dir="/data")
