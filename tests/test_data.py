"""Data: prepare from folders and IDX files, and batches that depend on seed and step alone."""

import gzip
import sys

import numpy as np
import pytest
from PIL import Image

from byol_jax import data


def _picture(path, seed, size=(6, 8), channels=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, channels), dtype=np.uint8)
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(path)
    return pixels


def test_class_subfolders_become_labels_and_pixels_survive(tmp_path):
    cat = _picture(tmp_path / "in/cat/1.png", 1)
    dog = _picture(tmp_path / "in/dog/1.png", 2)
    report = data.prepare(tmp_path / "in", tmp_path / "out")
    assert report.kept == {"train": 2} and report.classes == ["cat", "dog"]
    source = data.open_source(str(tmp_path / "out"), "train")
    assert source.image_shape == (6, 8, 3) and source.num_classes == 2
    np.testing.assert_array_equal(source.images, [cat, dog])
    np.testing.assert_array_equal(source.labels, [0, 1])
    assert "tensorflow" not in sys.modules


def test_a_flat_folder_has_no_labels_and_says_so(tmp_path):
    _picture(tmp_path / "in/1.png", 1)
    data.prepare(tmp_path / "in", tmp_path / "out")
    source = data.open_source(str(tmp_path / "out"), "train")
    assert source.num_classes is None and set(source.take(np.array([0]))) == {"image", "index"}
    with pytest.raises(ValueError, match="has no labels; choose a self-supervised method"):
        _ = source.labels


def test_a_picture_beside_the_subfolders_takes_the_labels_and_is_named(tmp_path):
    for name in ("cat/1", "dog/2", "3"):
        _picture(tmp_path / f"in/{name}.png", len(name) + int(name[-1]))
    report = data.prepare(tmp_path / "in", tmp_path / "out")
    assert report.classes is None and report.unlabelled == ["3.png"]
    words = "no labels, because 1 of 3 images are in no subfolder, such as 3.png; for labels, move"
    assert words in report.lines()[-1]


def test_train_and_test_folders_become_splits(tmp_path):
    for seed, split in enumerate(("train", "val")):
        _picture(tmp_path / f"in/{split}/cat/1.png", seed)
    assert data.prepare(tmp_path / "in", tmp_path / "out").kept == {"train": 1, "test": 1}


def test_pictures_of_all_modes_become_upright_rgb(tmp_path):
    folder = tmp_path / "in"
    pixels = _picture(folder / "a.png", 1, (4, 4))
    rgba = np.dstack([pixels, np.full((4, 4), 255, np.uint8)])
    Image.fromarray(rgba).save(folder / "b.png")
    Image.fromarray(pixels).convert("P").save(folder / "c.gif")
    turned = Image.fromarray(np.rot90(pixels).copy())
    exif = turned.getexif()
    exif[0x0112] = 6  # turn clockwise by a quarter to see it upright
    turned.save(folder / "d.png", exif=exif)
    data.prepare(folder, tmp_path / "out", duplicates="keep")
    images = data.open_source(str(tmp_path / "out"), "train").images
    np.testing.assert_array_equal(images[0], pixels)
    np.testing.assert_array_equal(images[1], pixels)
    np.testing.assert_array_equal(images[3], pixels)


def test_an_unreadable_picture_is_named_and_left_out(tmp_path):
    _picture(tmp_path / "in/good.png", 1)
    (tmp_path / "in/bad.jpg").write_bytes(b"no picture")
    report = data.prepare(tmp_path / "in", tmp_path / "out")
    assert report.kept == {"train": 1}
    assert list(report.unreadable) == ["bad.jpg"]


def test_a_folder_without_images_says_what_prepare_reads(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no readable training images.*\.jpg.*IDX"):
        data.prepare(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_prepare_never_overwrites(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for out in ("out", "link"):
        with pytest.raises(FileExistsError, match="give another --out"):
            data.prepare(tmp_path, tmp_path / out)


def test_idx_files_are_read_and_limited(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 4), dtype=np.uint8)
    header = bytes([0, 0, 8, 3]) + np.array([5, 3, 4], ">i4").tobytes()
    packed = gzip.compress(header + pixels.tobytes())
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(packed)
    labels = bytes([0, 0, 8, 1]) + np.array([5], ">i4").tobytes() + bytes([2, 0, 1, 0, 0])
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(labels)
    data.prepare(tmp_path, tmp_path / "out", max_train=3)
    source = data.open_source(str(tmp_path / "out"), "train")
    np.testing.assert_array_equal(source.images[..., 0], pixels[:3])
    np.testing.assert_array_equal(source.labels, [2, 0, 1])


def test_sizes_that_differ_want_an_image_size(tmp_path):
    _picture(tmp_path / "in/1.png", 1, (6, 8))
    _picture(tmp_path / "in/2.png", 2, (9, 5))
    data.prepare(tmp_path / "in", tmp_path / "out")
    source = data.open_source(str(tmp_path / "out"), "train")
    with pytest.raises(ValueError, match="set data.image_size"):
        source.take(np.array([0]))
    source = data.open_source(str(tmp_path / "out"), "train", image_size=4)
    assert source.images.shape == (2, 4, 4, 3)


def test_an_unknown_data_set_lists_those_there_are():
    with pytest.raises(ValueError, match="unknown data set 'fashion_mist'.*fashion_mnist_10k"):
        data.open_source("fashion_mist", "train")


def test_a_folder_that_was_not_prepared_names_the_command(tmp_path):
    with pytest.raises(ValueError, match="byol_jax prepare --source="):
        data.open_source(str(tmp_path), "train")


def test_an_unknown_split_lists_those_there_are():
    with pytest.raises(ValueError, match="it has train, test"):
        data.open_source("fashion_mnist_10k", "validation")


def test_the_embedded_data_is_balanced_and_whole():
    train = data.open_source("fashion_mnist_10k", "train")
    test = data.open_source("fashion_mnist_10k", "test")
    assert (len(train), len(test)) == (10000, 2000)
    image = train.images
    assert image.dtype == np.uint8 and image.shape == (10000, 28, 28, 1)
    assert np.bincount(train.labels).min() > 900 and len(np.unique(test.labels)) == 10


def test_examples_read_one_by_one_and_all_at_once_are_equal():
    read = data.open_source("fashion_mnist_10k", "test[:40]")
    decoded = data.open_source("fashion_mnist_10k", "test[:40]")
    index = np.array([3, 39, 3])
    for name, value in decoded.examples.items():
        np.testing.assert_array_equal(read.take(index)[name], value[index])
    np.testing.assert_array_equal(read.images[5:9], decoded.images[5:9])
    np.testing.assert_array_equal(read.labels, decoded.labels)
