"""`prepare` and pictures: every kind comes in as it is, or is named with why it cannot."""

import io
import json
import os

import numpy as np
import pytest
import tensorflow_datasets as tfds
import tifffile
from PIL import Image

from byol_jax import data
from byol_jax.data.preparation import convert
from support import pictures


def _good(folder):
    """Pictures of every kind, each with other pixels: as many as come back."""
    rgb = pictures.pixels(0, 20, 24, 3)
    numbers = iter(range(1, 100))
    turned = Image.Exif()
    turned[0x0112] = 6
    for name, options in {
        "turned.jpg": {"exif": turned},
        "plain.jpeg": {},
        "lossy.webp": {"quality": 80},
        "lossless.webp": {"lossless": True},
        "lzw.tif": {"compression": "tiff_lzw"},
        "of.bmp": {},
        "of.ppm": {},
        "deep/er/x.jpg/of.PNG": {},
    }.items():
        pictures.save(folder / name, np.roll(rgb, next(numbers), axis=0), **options)
    for mode, name in {"CMYK": "cmyk.jpg", "P": "p.png", "L": "l.png", "1": "1.png"}.items():
        Image.fromarray(np.roll(rgb, next(numbers), axis=0)).convert(mode).save(folder / name)
    frames = [Image.fromarray(np.roll(rgb, next(numbers), axis=0)) for _ in range(2)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    pictures.save(folder / "alpha.png", pictures.pixels(50, 20, 24, 4))
    pictures.save(folder / "grey_alpha.png", pictures.pixels(51, 20, 24, 2))
    pictures.save(folder / "grey16.png", pictures.pixels(52, 20, 24, dtype=np.uint16))
    pictures.tiff(folder / "grey16.tiff", pictures.pixels(53, 20, 24, dtype=np.uint16))
    pictures.tiff(
        folder / "rgb16.tiff", pictures.pixels(54, 20, 24, 3, dtype=np.uint16), photometric="rgb"
    )
    (folder / "odd").mkdir()
    with open(os.fsencode(folder) + b"/odd/caf\xe9\n.png", "wb") as file:
        Image.fromarray(pictures.pixels(55, 20, 24, 3)).save(file, "png")
    return 19


def _bad(folder):
    """Files that are no pictures, or no readable ones: the reason expected for each."""
    whole = io.BytesIO()
    Image.fromarray(pictures.pixels(9, 40, 40, 3)).save(whole, "jpeg")
    for name, contents in {
        "cut.jpg": whole.getvalue()[:1500],
        "empty.jpg": b"",
        "text.jpg": b"hello",
        "bomb.png": pictures.huge_png(30_000, 30_000),
        "large.png": pictures.huge_png(10_000, 10_000),
    }.items():
        (folder / name).write_bytes(contents)
    with open(os.fsencode(folder) + b"/caf\xe9.jpg", "wb") as file:
        file.write(b"x")
    os.symlink("loop.jpg", folder / "loop.jpg")
    pictures.tiff(folder / "float.tif", np.ones((4, 4), np.float32))
    pictures.tiff(folder / "signed.tif", np.ones((4, 4), np.int16))
    deflated = io.BytesIO()
    kind = {"photometric": "minisblack", "planarconfig": "contig", "compression": "zlib"}
    tifffile.imwrite(deflated, pictures.pixels(10, 20, 20, 5), **kind)
    (folder / "cut.tif").write_bytes(deflated.getvalue()[:-99])
    return {
        "cut.jpg": "truncated",
        "empty.jpg": "the file is empty",
        "text.jpg": "not those of an image format that Pillow can read",
        "cut.tif": "the file is damaged (error: Error -5 while decompressing",
        "bomb.png": "safe to open; if you trust the file, shrink it",
        "large.png": "safe to open; if you trust the file, shrink it",
        "caf\\xe9.jpg": "not those of an image format that Pillow can read",
        "loop.jpg": "Too many levels of symbolic links",
        "float.tif": "float32 values have no defined range",
        "signed.tif": "int16 values have no defined range",
    }


def test_a_mixed_folder_comes_in_whole_but_for_bad_files_each_named_with_why(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    count, reasons = _good(folder), _bad(folder)
    os.symlink(".", folder / "up")
    pictures.tiff(folder / "many.tif", pictures.pixels(8, 13, 20, 24), photometric="minisblack")
    (folder / "notes.txt").write_text("no picture")
    report = data.prepare(folder, tmp_path / "out")
    assert report.kept == {"train": count}
    assert report.unreadable.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in report.unreadable[name]
    assert report.left_out.keys() == {"up", "many.tif"}
    assert report.others == {".txt": 1} and report.found == count + len(reasons) + 1
    source = pictures.open_split(tmp_path / "out", image_size=8)
    assert source.images.shape == (count, 8, 8, 3) and source.dtype == np.uint8
    "\n".join(report.lines()).encode("utf-8")  # can be printed
    written = json.loads((tmp_path / "out" / report.FILE).read_text(encoding="utf-8"))
    assert written["unreadable"] == report.unreadable


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    pictures.folder(tmp_path / "in", 3)
    read = convert.Path.read_bytes

    def locked(path):
        if path.name == "1.png":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(convert.Path, "read_bytes", locked)
    report = data.prepare(tmp_path / "in", tmp_path / "out")
    assert report.unreadable == {"1.png": "Permission denied"} and report.kept == {"train": 2}


def test_what_is_transparent_is_white(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, :, 3] = 255
    pixels[1, 0, 3] = 51
    pictures.save(tmp_path / "in/a.png", pixels)
    data.prepare(tmp_path / "in", tmp_path / "out")
    expected = np.array([[[0, 0], [204, 255]]])
    np.testing.assert_array_equal(pictures.open_split(tmp_path / "out").images[..., 0], expected)


def test_alpha_of_16_bits_is_white_too_and_leaves_the_colors(tmp_path):
    pixels = pictures.pixels(3, 6, 8, 4, dtype=np.uint16)
    pixels[..., 3] = np.where(np.arange(8) < 4, 65535, 0)
    pictures.tiff(tmp_path / "in/a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    data.prepare(tmp_path / "in", tmp_path / "out")
    image = pictures.open_split(tmp_path / "out").images[0]
    np.testing.assert_array_equal(image[:, :4], pixels[:, :4, :3])
    assert image.dtype == np.uint16 and (image[:, 4:] == 65535).all()


def test_grey_of_16_bits_stays_where_all_is_and_is_scaled_where_not(tmp_path):
    wide = pictures.pixels(1, 6, 8, dtype=np.uint16)
    pictures.save(tmp_path / "in/1.png", wide)
    pictures.tiff(tmp_path / "in/2.tif", wide[::-1])
    data.prepare(tmp_path / "in", tmp_path / "wide")
    taken = pictures.open_split(tmp_path / "wide").take(np.array([0, 1]))["image"]
    assert taken.dtype == np.uint16
    np.testing.assert_array_equal(taken[..., 0], [wide, wide[::-1]])
    small = pictures.open_split(tmp_path / "wide", image_size=3).images
    np.testing.assert_allclose(small.mean(), wide.mean(), rtol=0.1)

    pictures.save(tmp_path / "in/3.png", pictures.pixels(3, 6, 8))
    data.prepare(tmp_path / "in", tmp_path / "mixed")
    mixed = pictures.open_split(tmp_path / "mixed").images
    assert mixed.dtype == np.uint8
    np.testing.assert_array_equal(mixed[0, ..., 0], np.rint(wide / 257))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_of_13_channels_keeps_them_however_they_lie(tmp_path, dtype):
    pixels = [pictures.pixels(seed, 20, 24, 13, dtype=dtype) for seed in range(3)]
    pictures.tiff(tmp_path / "in/0.tif", pixels[0], photometric="minisblack", planarconfig="contig")
    planes = np.moveaxis(pixels[1], -1, 0)
    pictures.tiff(tmp_path / "in/1.tif", planes, photometric="minisblack", planarconfig="separate")
    pictures.tiff(tmp_path / "in/2.tif", pixels[2])
    report = data.prepare(tmp_path / "in", tmp_path / "out")
    assert report.shape == (20, 24, 13) and report.dtype == np.dtype(dtype).name
    source = pictures.open_split(tmp_path / "out")
    batch = source.take(np.arange(3))["image"]
    assert batch.dtype == dtype
    np.testing.assert_array_equal(batch, pixels)
    assert pictures.open_split(tmp_path / "out", image_size=7).images.shape == (3, 7, 7, 13)


def test_max_side_bounds_the_shorter_side_and_never_enlarges(tmp_path):
    smooth = np.linspace(0, 255, 40 * 60 * 3).reshape(40, 60, 3).astype(np.uint8)
    pictures.save(tmp_path / "in/large.jpg", smooth)
    pictures.save(tmp_path / "in/large.png", smooth[::-1])
    pictures.save(tmp_path / "in/small.png", smooth[:9, :7])
    data.prepare(tmp_path / "in", tmp_path / "out", max_side=20)
    builder = tfds.builder_from_directory(tmp_path / "out")
    records = builder.as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})
    opened = [Image.open(io.BytesIO(record["image"])) for record in records]
    found = [(picture.size, picture.format) for picture in opened]
    assert found == [((30, 20), "JPEG"), ((30, 20), "PNG"), ((7, 9), "PNG")]
    assert records[2]["image"] == (tmp_path / "in/small.png").read_bytes()
    np.testing.assert_allclose(np.asarray(opened[0]).mean(), smooth.mean(), atol=2)
