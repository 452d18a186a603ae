"""`prepare` and folders: labels, splits, duplicates, and resuming after an interrupt."""

import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from tensorflow_datasets.proto import tf_example_pb2

from byol_jax import data
from byol_jax.data import images
from byol_jax.data.preparation import convert
from support import pictures


def test_a_process_that_reads_pictures_loads_nothing_heavy():
    code = "import sys, byol_jax.data.preparation.convert; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"jax", "flax", "grain", "tensorflow_datasets", "tifffile"}
    assert not heavy & set(done.stdout.split())


def test_a_csv_file_gives_the_labels(tmp_path):
    pictures.folder(tmp_path / "in/deep", 3)
    text = "label,path,more\ncat,deep/0.png,\ndog,./deep/1.png,\ncat,deep/2.png,\n"
    (tmp_path / "labels.csv").write_text(text)
    report = data.prepare(tmp_path / "in", tmp_path / "out", labels=tmp_path / "labels.csv")
    assert report.classes == ["cat", "dog"]
    np.testing.assert_array_equal(pictures.open_split(tmp_path / "out").labels, [0, 1, 0])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("file,label\n0.png,a\n", "has the columns file, label, but lacks path;"),
        ("", "has the columns \\(none\\), but lacks path and label;"),
        ("path,label\n0.png,a\n", "has no row for some images: 1.png; correct"),
        (
            "path,label\n0.png,a\n1.png,b\n2.png,b\n",
            "names files that do not exist in .*: 2.png; correct",
        ),
        ("path,label\n0.png,a\n1.png,\n", "gives no label to some images: 1.png; correct"),
        (
            "path,label\n0.png,a\n0.png,b\n1.png,a\n",
            "gives two labels to the same image: 0.png; correct",
        ),
    ],
)
def test_a_csv_file_that_lacks_something_says_what(tmp_path, text, error):
    pictures.folder(tmp_path / "in", 2)
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match=error):
        data.prepare(tmp_path / "in", tmp_path / "out", labels=tmp_path / "labels.csv")
    assert sorted(os.listdir(tmp_path)) == ["in", "labels.csv"]


def test_labels_none_ignores_the_subfolders(tmp_path):
    pictures.folder(tmp_path / "in/cat", 2)
    assert data.prepare(tmp_path / "in", tmp_path / "out", labels="none").classes is None
    assert pictures.open_split(tmp_path / "out").num_classes is None


def _twins(folder):
    """0 is in train twice, once under another class, and 1 is in train and test."""
    for split, label, seed, name in (
        ("train", "cat", 0, "a.png"),
        ("train", "dog", 0, "b.bmp"),
        ("train", "dog", 1, "c.png"),
        ("test", "dog", 1, "d.png"),
    ):
        pictures.save(folder / split / label / name, pictures.pixels(seed, 6, 8, 3))


def test_equal_pictures_are_kept_once_in_test_before_train(tmp_path):
    _twins(tmp_path / "in")
    report = data.prepare(tmp_path / "in", tmp_path / "out")
    assert report.kept == {"train": 1, "test": 1}
    assert report.duplicates == {
        "train/dog/b.bmp": "train/cat/a.png",
        "train/dog/c.png": "test/dog/d.png",
    }
    assert report.relabelled == ["train/dog/b.bmp"]
    kept = data.prepare(tmp_path / "in", tmp_path / "all", duplicates="keep")
    assert kept.kept == {"train": 3, "test": 1} and kept.duplicates == report.duplicates


def test_the_test_fraction_depends_on_the_pictures_alone(tmp_path):
    pictures.folder(tmp_path / "a", 20)
    for number in range(20):
        pictures.save(tmp_path / f"b/{19 - number:02d}.bmp", pictures.pixels(number, 6, 8, 3))
    for name in "ab":
        report = data.prepare(tmp_path / name, tmp_path / f"out_{name}", test_fraction=0.3)
        assert report.kept == {"train": 14, "test": 6}
    tests = [
        {image.tobytes() for image in pictures.open_split(tmp_path / f"out_{name}", "test").images}
        for name in "ab"
    ]
    assert tests[0] == tests[1] and len(tests[0]) == 6


def test_many_processes_make_what_one_makes(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "PART", 4)
    pictures.folder(tmp_path / "in", 10, size=(30, 30))
    (tmp_path / "in/bad.jpg").write_bytes(b"x")
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        report = data.prepare(tmp_path / "in", out, workers=workers, max_side=8)
        assert report.kept == {"train": 10} and list(report.unreadable) == ["bad.jpg"]
    one, two = (pictures.open_split(tmp_path / f"out{workers}").images for workers in (1, 2))
    np.testing.assert_array_equal(one, two)


class _Interrupt:
    """Presses Ctrl-C after a number of images, and keeps the messages."""

    def __init__(self, what, after):
        self.what, self.after, self.messages = what, after, []

    def show(self, what, done, total):
        if (what, done) == (self.what, self.after):
            raise KeyboardInterrupt

    def print_line(self, text):
        self.messages.append(text)


@pytest.mark.parametrize("what", ["reading images", "writing"])
def test_the_same_command_goes_on_after_an_interrupt(tmp_path, monkeypatch, what):
    monkeypatch.setattr(convert, "PART", 2)
    pictures.folder(tmp_path / "in", 6)
    with pytest.raises(KeyboardInterrupt):
        data.prepare(tmp_path / "in", tmp_path / "out", progress=_Interrupt(what, 4), workers=1)
    assert not (tmp_path / "out").exists()
    calls, read = [], images.read
    monkeypatch.setattr(images, "read", lambda encoded: calls.append(1) or read(encoded))
    second = _Interrupt("never", 0)
    report = data.prepare(tmp_path / "in", tmp_path / "out", progress=second)
    done = {"reading images": 4, "writing": 6}[what]
    assert report.kept == {"train": 6} and len(calls) == 6 - done
    assert second.messages == [f"resuming: {done} of 6 images are done."]
    assert sorted(os.listdir(tmp_path)) == ["in", "out"]


@pytest.mark.parametrize("change", ["option", "picture"])
def test_another_command_or_other_pictures_start_anew(tmp_path, monkeypatch, change):
    monkeypatch.setattr(convert, "PART", 2)
    pictures.folder(tmp_path / "in", 6)
    with pytest.raises(KeyboardInterrupt):
        data.prepare(
            tmp_path / "in", tmp_path / "out", progress=_Interrupt("reading images", 4), workers=1
        )
    if change == "picture":
        pictures.save(tmp_path / "in/0.png", pictures.pixels(77, 6, 8, 3), compress_level=1)
    second = _Interrupt("never", 0)
    options = {"max_side": 5} if change == "option" else {}
    data.prepare(tmp_path / "in", tmp_path / "out", progress=second, **options)
    assert len(second.messages) == 1 and "starting from scratch" in second.messages[0]
    assert pictures.open_split(tmp_path / "out").image_shape[0] == (5 if change == "option" else 6)
    if change == "picture":
        np.testing.assert_array_equal(
            pictures.open_split(tmp_path / "out").images[0], pictures.pixels(77, 6, 8, 3)
        )


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"duplicates": "drop_all"}, "must be drop or keep, not 'drop_all'"),
        ({"test_fraction": 1.5}, "must be between 0 and 1, such as 0.1, not 1.5"),
        ({"test_fraction": 0.5, "max_train": 3}, "leave out one"),
        ({"max_side": 0}, "max_side must be at least 1, not 0"),
    ],
)
def test_a_wrong_option_says_what_it_may_be(tmp_path, options, error):
    pictures.folder(tmp_path / "in", 1)
    with pytest.raises(ValueError, match=error):
        data.prepare(tmp_path / "in", tmp_path / "out", **options)


def _tfrecord(out, images, labels):
    """A TFDS folder as TFDS itself writes it with tensorflow, but for the checksums."""
    data.prepare(images, out)
    (old,) = out.glob("*.array_record*")
    name = old.name.replace("array_record", "tfrecord")
    with (out / name).open("wb") as file:
        for image, label in zip(sorted(images.rglob("*.png")), labels, strict=True):
            example = tf_example_pb2.Example()
            example.features.feature["image"].bytes_list.value.append(image.read_bytes())
            example.features.feature["label"].int64_list.value.append(label)
            record = example.SerializeToString()
            file.write(struct.pack("<QI", len(record), 0) + record + bytes(4))
    old.unlink()
    info = out / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))


def test_a_folder_of_tfrecords_names_the_command_that_converts_it(tmp_path):
    pictures.folder(tmp_path / "in/cat", 2)
    pictures.folder(tmp_path / "in/dog", 1, size=(7, 9))
    _tfrecord(tmp_path / "old", tmp_path / "in", [0, 0, 1])
    with pytest.raises(ValueError, match=r"convert them once.*prepare --source=\S*old --out="):
        pictures.open_split(tmp_path / "old")
    report = data.prepare(tmp_path / "old", tmp_path / "out")
    assert report.kept == {"train": 3} and report.classes == ["cat", "dog"]
    source = pictures.open_split(tmp_path / "out", image_size=6)
    np.testing.assert_array_equal(source.labels, [0, 0, 1])
    np.testing.assert_array_equal(source.images[0], images.fit(pictures.pixels(0, 6, 8, 3), (6, 6)))

    (file,) = (tmp_path / "old").glob("*.tfrecord*")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match="is truncated; download or prepare the data set again"):
        data.prepare(tmp_path / "old", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_data_set_is_taken_whole_and_refuses_the_options_of_folders(tmp_path):
    header = bytes([0, 0, 8, 3]) + np.array([1, 2, 2], ">i4").tobytes()
    (tmp_path / "train-images-idx3-ubyte").write_bytes(header + bytes(4))
    with pytest.raises(ValueError, match="is already a data set. Leave out --labels"):
        data.prepare(tmp_path, tmp_path / "out", max_side=9)
