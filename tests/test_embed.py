"""Features of a folder: what cannot be read is named, and what is done is not done again."""

import json

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from byol_jax import encoders
from byol_jax.commands import embed
from support import pictures, small_encoders


@pytest.fixture
def folder(tmp_path):
    """21 pictures at two depths, of other sizes and kinds, and four files that are none."""
    root = tmp_path / "in"
    (root / "deep/er").mkdir(parents=True)
    for number in range(20):
        pixels = pictures.pixels(number, 8 + number % 3, 9, 1 + 2 * (number % 2))
        where = root / ("deep/er" if number % 4 == 0 else ".")
        Image.fromarray(pixels.squeeze()).save(where / f"{number:02d}.png")
    (root / "empty.jpg").write_bytes(b"")
    (root / "text.png").write_text("no picture")
    whole = (root / "01.png").read_bytes()
    (root / "half.png").write_bytes(whole[: len(whole) // 2])
    (root / "note.txt").write_text("not asked for")
    pictures.tiff(root / "many.tif", pictures.pixels(0, 16, 16, 13, dtype=np.uint16))
    Image.fromarray(pictures.pixels(3, 8, 8, 1).squeeze()).save(root / "bytes\udcff.png")
    return root


BROKEN = {
    "empty.jpg": "the file is empty",
    "text.png": "not those of an image format that Pillow can read",
    "half.png": "",
    "many.tif": "13 channels, but the encoder needs 1",
}


def test_broken_pictures_are_named_and_the_others_embedded(folder):
    made = small_encoders.make()
    rows = embed.embed_folder(made, folder)
    assert len(rows.paths) == 21 and rows.paths == sorted(rows.paths)
    assert rows.unreadable.keys() == BROKEN.keys()
    for path, why in BROKEN.items():
        assert why in rows.unreadable[path] and rows.unreadable[path]
    assert rows.features.shape == (21, made.num_features)


def test_a_picture_of_the_right_size_gives_the_features_of_its_pixels(folder):
    made = small_encoders.make()
    rows = embed.embed_folder(made, folder)
    row = rows.paths.index("bytes\udcff.png")
    want = made(pictures.pixels(3, 8, 8, 1)[None])
    np.testing.assert_allclose(rows.features[row], want[0], atol=1e-5)


def test_an_npz_holds_paths_features_and_what_was_unreadable(folder, tmp_path):
    made = small_encoders.make()
    rows = embed.embed(made, folder, tmp_path / "new/out.npz")
    with np.load(tmp_path / "new/out.npz", allow_pickle=False) as kept:
        np.testing.assert_array_equal(kept["features"], rows.features)
        assert kept["paths"].tolist() == rows.paths
        assert dict(zip(kept["unreadable"], kept["reasons"], strict=True)) == rows.unreadable
        assert json.loads(str(kept["about"]))["method"] == "byol"
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["out.npz"]


def test_a_parquet_holds_the_same(folder, tmp_path):
    made = small_encoders.make()
    rows = embed.embed(made, folder, tmp_path / "out.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    np.testing.assert_array_equal(np.stack(table["features"].to_pylist()), rows.features)
    assert table["path"].to_pylist() == [p.replace("\udcff", "\\xff") for p in rows.paths]
    metadata = json.loads(table.schema.metadata[b"byol_jax"])
    assert metadata["unreadable"] == rows.unreadable and metadata["step"] == 7


class _Killed(BaseException):
    pass


def test_a_killed_call_goes_on_where_it_was(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "_MAX_IMAGES", 5)
    made, calls = small_encoders.make(), []
    whole = embed.embed(made, folder, tmp_path / "whole.npz")
    real = encoders.Encoder.__call__

    def counted(self, images, **how):
        calls.append(len(images))
        if len(calls) == 3:
            raise _Killed
        return real(self, images, **how)

    monkeypatch.setattr(encoders.Encoder, "__call__", counted)
    with pytest.raises(_Killed):
        embed.embed(made, folder, tmp_path / "parts.npz")
    calls[:] = [None] * 10
    rows = embed.embed(made, folder, tmp_path / "parts.npz")
    assert len(calls) - 10 == 3  # of five parts two were done
    np.testing.assert_array_equal(rows.features, whole.features)
    assert rows.paths == whole.paths and rows.unreadable == whole.unreadable
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("change", ["encoder", "picture"])
def test_what_is_done_is_done_anew_for_another_encoder_or_picture(change, folder, tmp_path):
    made, out = small_encoders.make(), tmp_path / "out.npz"
    embed.embed(made, folder, out)
    fingerprint = embed._fingerprint(made, folder, ["01.png"])
    if change == "encoder":
        made = small_encoders.make(seed=1)
    else:
        Image.new("L", (8, 8), 3).save(folder / "01.png")
    assert embed._fingerprint(made, folder, ["01.png"]) != fingerprint


def test_a_part_that_was_damaged_is_done_again(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "_MAX_IMAGES", 5)
    made, out = small_encoders.make(), tmp_path / "out.npz"
    monkeypatch.setattr(encoders.feature_file.Parts, "remove", lambda self: None)
    rows = embed.embed(made, folder, out)
    out.unlink()
    kept = sorted((tmp_path / ".out.npz.unfinished").glob("*.npz"))
    kept[1].write_bytes(kept[1].read_bytes()[:100])
    kept[2].write_bytes(b"")
    again = embed.embed(made, folder, out)
    np.testing.assert_array_equal(again.features, rows.features)


def test_where_nothing_can_be_done_says_why(folder, tmp_path):
    made = small_encoders.make()
    with pytest.raises(ValueError, match=r"must end in .npz or .parquet"):
        embed.embed(made, folder, tmp_path / "out.csv")
    with pytest.raises(FileNotFoundError, match="set --images to a folder"):
        embed.embed_folder(made, tmp_path / "none")
    (tmp_path / "bare").mkdir()
    with pytest.raises(FileNotFoundError, match=r"contains no image files .\*.jpg"):
        embed.embed_folder(made, tmp_path / "bare")
    (tmp_path / "out.npz").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="give another --out"):
        embed.embed(made, folder, tmp_path / "out.npz")
    assert (tmp_path / "out.npz").read_bytes() == b"mine"


def test_color_for_a_color_encoder_and_16_bits_for_one_of_16_bits(folder):
    options = {"image_shape": (8, 8, 3), "view": {"size": 8}}
    rows = embed.embed_folder(small_encoders.make(**options), folder)
    assert len(rows.paths) == 21
    assert "13 channels, but the encoder needs 3" in rows.unreadable["many.tif"]
    rows = embed.embed_folder(small_encoders.make(dtype="uint16"), folder)
    row = rows.paths.index("bytes\udcff.png")
    want = small_encoders.make()(pictures.pixels(3, 8, 8, 1)[None])
    np.testing.assert_allclose(rows.features[row], want[0], atol=1e-4)
