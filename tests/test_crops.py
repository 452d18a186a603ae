"""Crops cut while decoding have augment's boxes and Pillow's pixels, for every kind of image."""

import io

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from byol_jax.augment import geometry
from byol_jax.data import crops, images

SIDES = ("top", "left", "height", "width")
BOXES = ((0, 0, 90, 120), (10, 20, 31, 29), (7, 3, 60, 62), (25, 40, 65, 80))


def _scene(height=90, width=120, channels=3):
    """A picture with shades, edges and a fine pattern, as photographs have: uint8 [H, W, C]."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    shade = np.stack([x / width, y / height, (x + y) / (width + height)], -1) * 150
    edges = 60.0 * ((x // 23 + y // 17) % 2)[..., None]
    pattern = 40 * np.sin(x * y / 300)[..., None]
    return np.clip(shade + edges + pattern, 0, 255).astype(np.uint8)[..., :channels]


def _encode(pixels, kind="jpeg", mode=None, **options):
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    buffer = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(buffer, kind, **options)
    return buffer.getvalue()


def _crops(encoded, boxes=BOXES, *, size=32, channels=3, method="bilinear", antialias=True):
    how = {"size": size, "channels": channels, "method": method, "antialias": antialias}
    return crops.decode_crops(encoded, lambda height, width: boxes, **how)


def _plainly(encoded, box, *, size=32, channels=3, method="bilinear"):
    """What the slow way gives: decode all of it, cut, resize; by Pillow, which antialiases."""
    top, left, height, width = box
    part = images.decode(encoded, channels=channels)[top : top + height, left : left + width]
    picture = Image.fromarray(part[..., 0] if channels == 1 else part)
    picture = picture.resize((size, size), Image.Resampling[method.upper()])
    return np.asarray(picture).reshape(size, size, channels)


def _difference(a, b):
    return np.abs(np.asarray(a, np.float32) - np.asarray(b, np.float32))


@pytest.fixture(params=["fast", "plain"])
def resizer(request, monkeypatch):
    """With the fast resizer, and as where it is not installed."""
    if request.param == "plain":
        monkeypatch.setattr(crops, "cykooz_resizer", None)
    else:
        pytest.importorskip("cykooz_resizer")


@pytest.mark.parametrize("attempts", [1, 2, 10])
@pytest.mark.parametrize("height, width", [(375, 500), (64, 400)])
def test_boxes_are_drawn_as_the_device_draws_them(height, width, attempts):
    ours = _many_boxes(height=height, width=width, attempts=attempts)
    keys = jax.random.split(jax.random.key(0), len(ours))
    draw = jax.vmap(
        lambda key: geometry.random_box(key, height=height, width=width, attempts=attempts)
    )
    for name, a, b in zip(SIDES, ours.T, np.asarray(jax.jit(draw)(keys)).T, strict=True):
        assert stats.ks_2samp(a, b).pvalue > 0.01, name


def _many_boxes(count=4000, **how):
    generator = np.random.default_rng(0)
    return np.array([crops.random_box(generator, **how) for _ in range(count)])


def test_boxes_lie_inside_and_repeat_with_the_seed():
    boxes = _many_boxes(500, height=7, width=90, attempts=3)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= (7, 90)).all()
    np.testing.assert_array_equal(boxes, _many_boxes(500, height=7, width=90, attempts=3))


def test_where_no_attempt_fits_the_box_is_central():
    box = crops.random_box(np.random.default_rng(0), height=20, width=100, area=(1, 1), attempts=3)
    assert box == (0, 36, 20, 27)  # 20 * 4 / 3 wide
    box = crops.random_box(np.random.default_rng(0), height=20, width=100, area=(1, 1), attempts=1)
    assert box[2] == 20 and box[3] < 60  # clipped instead


def test_a_range_that_descends_is_refused():
    with pytest.raises(ValueError, match="ascending pairs of positive numbers.*attempts 10"):
        crops.random_box(np.random.default_rng(0), height=9, width=9, area=(1.0, 0.5))


@pytest.mark.parametrize("method", crops.METHODS)
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_crops_are_those_of_pillow(resizer, kind, method):
    encoded = _encode(_scene(), kind)
    for ours, box in zip(_crops(encoded, method=method), BOXES, strict=True):
        difference = _difference(ours, _plainly(encoded, box, method=method))
        assert difference.mean() < 0.3 and difference.max() <= (1 if method == "bilinear" else 6)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("method", crops.METHODS)
def test_crops_are_those_of_the_device(resizer, method, antialias):
    encoded = _encode(_scene(), "png")
    image = jax.numpy.asarray(_scene(), jax.numpy.float32) / 255
    how = {"method": method, "antialias": antialias}
    for ours, box in zip(_crops(encoded, **how), BOXES, strict=True):
        theirs = geometry.crop_and_resize(image, jax.numpy.array(box), size=32, **how)
        difference = _difference(ours, 255 * theirs)
        assert difference.mean() < 0.4 and difference.max() < (1.5 if method == "bilinear" else 6)


def test_antialias_changes_a_box_that_shrinks_and_no_other(resizer):
    with_it, without = (_crops(_encode(_scene()), antialias=a) for a in (True, False))
    assert _difference(with_it[0], without[0]).mean() > 3
    assert _difference(with_it[1], without[1]).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "options",
    [{"subsampling": s} for s in (0, 1, 2)] + [{"progressive": True}, {"mode": "L"}],
    ids=str,
)
def test_the_fast_decoder_gives_the_bits_of_pillow(options, channels):
    encoded = _encode(_scene(91, 123), quality=85, **options)
    box = (0, 0, 91, 123)
    whole = crops.decode_crops(
        encoded,
        lambda *_: [box],
        size=box[2:],
        channels=channels,
        method="bilinear",
        antialias=True,
    )
    np.testing.assert_array_equal(whole[0], images.decode(encoded, channels=channels))


@pytest.mark.parametrize("antialias, decoded", [(True, (375, 500)), (False, (750, 1000))])
def test_a_large_jpeg_is_halved_by_the_decoder_only_to_be_averaged(
    monkeypatch, resizer, antialias, decoded
):
    shapes, decode = [], crops.simplejpeg.decode_jpeg

    def spy(*arguments, **options):
        shapes.append(decode(*arguments, **options).shape[:2])
        return decode(*arguments, **options)

    monkeypatch.setattr(crops.simplejpeg, "decode_jpeg", spy)
    encoded, boxes = _encode(_scene(750, 1000), quality=90), ((1, 3, 641, 703), (0, 0, 749, 999))
    ours = _crops(encoded, boxes, size=160, antialias=antialias)
    assert shapes == [decoded]
    for crop, box in zip(ours, boxes, strict=True):
        difference = _difference(crop, _plainly(encoded, box, size=160)).mean()
        assert difference < 1.0 if antialias else difference > 1.0


@pytest.mark.parametrize(
    "boxes, reduction",
    [
        ([(0, 0, 896, 896)], 2),
        ([(0, 0, 895, 2000)], 1),
        ([(0, 0, 4000, 4000), (0, 0, 1800, 1800)], 4),
        ([(0, 0, 9000, 9000)], 8),
    ],
)
def test_halving_leaves_every_view_twice_its_pixels(boxes, reduction):
    assert crops._reduction(boxes, (224, 224)) == reduction


def test_cmyk_and_other_formats_are_read_as_pillow_reads_them():
    cmyk = Image.fromarray(_scene()).convert("CMYK")
    buffer = io.BytesIO()
    cmyk.save(buffer, "jpeg", quality=95)
    palette = _encode(_scene(), "png", mode="P")
    for encoded in (buffer.getvalue(), palette, _encode(_scene(), "webp", lossless=True)):
        for ours, box in zip(_crops(encoded), BOXES, strict=True):
            assert _difference(ours, _plainly(encoded, box)).max() <= 1


def test_one_channel_and_three_of_either_kind(resizer):
    for mode in ("L", "RGB"):
        for channels in (1, 3):
            encoded = _encode(_scene(), mode=mode)
            ours = _crops(encoded, channels=channels)
            assert ours.shape == (4, 32, 32, channels) and ours.dtype == np.uint8
            theirs = [_plainly(encoded, box, channels=channels) for box in BOXES]
            assert _difference(ours, theirs).max() <= 1


def test_a_size_may_have_two_sides(resizer):
    assert _crops(_encode(_scene()), size=(16, 40)).shape == (4, 16, 40, 3)


def test_damaged_bytes_are_pillows_to_judge():
    encoded = _encode(_scene())
    with pytest.raises(OSError):
        _crops(encoded[: len(encoded) // 2])
    with pytest.raises(OSError):
        _crops(b"no picture")
    assert _crops(encoded[:-2] + b"\x00\x00" + encoded[-2:]).shape == (4, 32, 32, 3)


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="method \\('nearest'\\) must be one of bilinear, bicubic"):
        _crops(_encode(_scene()), method="nearest")
