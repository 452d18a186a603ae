"""A damaged file of a data set: one error, which names the data set and tells what to do."""

import re

import numpy as np
import pytest

from byol_jax import data
from byol_jax.training import train
from support import pictures, tiny

MODES = {
    "resident": {"mode": "resident"},
    "streamed": {"mode": "streamed", "workers": 0},
    "by workers": {"mode": "streamed", "workers": 2},
    "cropped": {"mode": "streamed", "workers": 0, "crops": "host"},
}


@pytest.fixture
def prepared(tmp_path):
    """A data set of 32 pictures, and the file that holds them."""
    pictures.folder(tmp_path / "in", 32)
    data.prepare(tmp_path / "in", tmp_path / "out")
    (file,) = (tmp_path / "out").glob("*.array_record*")
    return tmp_path / "out", file


def _flip(file):
    """Changes one bit of a picture."""
    stored = bytearray(file.read_bytes())
    stored[stored.index(b"IDAT") + 10] ^= 1
    file.write_bytes(stored)


def _cut(file):
    file.write_bytes(file.read_bytes()[:-1000])


def _empty(file):
    file.write_bytes(b"")


DAMAGES = {
    _flip: "Corrupted Riegeli/records file: chunk data hash mismatch .*",
    _cut: ".*Failed to read RiegeliPostscript",
    _empty: "ArrayRecord file should be at least 64KB big",
    lambda file: file.unlink(): r"open\(\) failed: No such file or directory; opening .*",
}


def _words(folder, why):
    return (
        rf"^split 'train' of data set '{re.escape(str(folder))}' cannot be read \({why}\), "
        "because a file is damaged or missing. Copy or prepare the data set again; the same "
        r"command then continues from the newest checkpoint\."
    )


@pytest.mark.parametrize(("damage", "why"), DAMAGES.items())
def test_damage_is_told_with_what_to_do(prepared, damage, why):
    folder, file = prepared
    damage(file)
    source = pictures.open_split(folder)
    with pytest.raises(OSError, match=_words(folder, why)):
        source.take(np.arange(len(source)))


def test_what_is_whole_can_be_read_beside_one_bit_of_damage(prepared):
    folder, file = prepared
    whole = pictures.open_split(folder).decoded["image"]
    _flip(file)
    source, broken = pictures.open_split(folder), []
    for number in range(len(source)):
        try:
            read = source.take(np.array([number]))["image"][0]
        except OSError:
            broken.append(number)
            continue
        np.testing.assert_array_equal(read, whole[number])
    assert len(broken) == 1


@pytest.mark.parametrize(
    "mode",
    [pytest.param(m, marks=[pytest.mark.slow] * (m in ("by workers", "cropped"))) for m in MODES],
)
def test_training_ends_by_the_same_error(prepared, mode, tmp_path):
    folder, file = prepared
    _flip(file)
    config = tiny.get_config()
    config.data.update({"name": str(folder), "train_split": "train", **MODES[mode]})
    with pytest.raises(OSError, match=_words(folder, DAMAGES[_flip])):
        train.train(config, tmp_path / "run")
