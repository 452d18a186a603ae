"""The random crops of a large picture, cut while it is decoded: only the views go to the device.

What comes out is what `augment.crop_and_resize` makes of the whole picture, as near as Pillow comes
to it: a quarter of a grey level on average, the rounding. The crop comes first, so that no pixel
outside the box is read, and both ways of resizing are kept, with antialias (Pillow, torchvision) and
without (TensorFlow). One thing alone is less exact: where antialias averages many pixels of a large
JPEG anyway, the decoder does the first halvings, and leaves at least twice the pixels of the view in
each direction. On sharp photographs that moves pixels by half a grey level on average; if it left
no more pixels than the view has, it would be three times as much.

JPEGs are decoded by libjpeg-turbo with the settings that Pillow has too: the same bits. Nothing here
needs jax.
"""

import io
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from byol_jax import errors
from byol_jax.data import images

try:
    import cykooz_resizer
except ImportError:  # there is no wheel for Linux on ARM; Pillow and numpy do the same, slower
    cykooz_resizer = None

Box = tuple[int, int, int, int]  # top, left, height, width in pixels


class Crops(NamedTuple):
    """What to cut of every picture: boxes, the options of random_box for each view; the rest as in
    decode_crops.
    """

    boxes: tuple[dict, ...]
    size: tuple[int, int]
    method: str
    antialias: bool


METHODS = ("bilinear", "bicubic")
_SPARE = 2  # pixels that the decoder's halvings leave in each direction for one of the view

_SAME_AS_PILLOW = {("YCbCr", 3), ("Gray", 3), ("Gray", 1)}  # (color space, channels) of a JPEG


def random_box(
    generator: np.random.Generator,
    *,
    height: int,
    width: int,
    area: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    attempts: int = 10,
) -> Box:
    """A random box (top, left, height, width) of an image of height x width, in whole pixels.

    The distribution is that of `augment.random_box`: area, a share of the image's, is uniform,
    ratio (width / height) log-uniform, and the place uniform. With one attempt a side that is too
    long is clipped (BYOL); with more, the first which fits is taken, and if none does, the largest
    central box with a ratio in range (torchvision).

    Raises ValueError when attempts is below 1 or a range is not positive and ascending.
    """
    if attempts < 1 or not 0 < area[0] <= area[1] or not 0 < ratio[0] <= ratio[1]:
        raise errors.UserError(
            "random crop: area and ratio must be ascending positive pairs and attempts >= 1; got "
            f"area {tuple(area)}, ratio {tuple(ratio)}, attempts {attempts}."
        )
    for _ in range(attempts):
        pixels = height * width * generator.uniform(*area)
        aspect = math.exp(generator.uniform(math.log(ratio[0]), math.log(ratio[1])))
        tall = max(1, round(math.sqrt(pixels / aspect)))
        wide = max(1, round(math.sqrt(pixels * aspect)))
        if attempts == 1:
            tall, wide = min(tall, height), min(wide, width)
        if tall <= height and wide <= width:
            top = generator.integers(0, height - tall, endpoint=True)
            left = generator.integers(0, width - wide, endpoint=True)
            return int(top), int(left), tall, wide
    aspect = min(max(width / height, ratio[0]), ratio[1])
    tall, wide = min(height, round(width / aspect)), min(width, round(height * aspect))
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def decode_crops(
    encoded: bytes,
    boxes_of: Callable[[int, int], Sequence[Box]],
    *,
    size: int | Sequence[int],
    channels: int,
    method: str,
    antialias: bool,
) -> np.ndarray:
    """The parts of an encoded picture that some boxes show, each resized: uint8 [V, h, w, channels].

    boxes_of(height, width) gives the boxes (top, left, height, width), once the size of the picture
    is known: whole pixels, inside the picture, V of them. The bytes are read once for all.
    size is h = w or (h, w); channels is 1 or 3; method is "bilinear" or "bicubic" (Keys' with
    a = -0.5); antialias widens the kernel where a box shrinks. Without antialias a picture is always
    decoded at its full size, since it would not be the same picture otherwise.

    Raises OSError when the bytes are not a picture, ValueError for an unknown method.
    """
    if method not in METHODS:
        raise errors.UserError(f"method ({method!r}) must be one of {', '.join(METHODS)}.")
    size = (size, size) if isinstance(size, int) else tuple(size)
    height, width, is_jpeg = _header(encoded, channels)
    boxes = boxes_of(height, width)
    reduction = _reduction(boxes, size) if antialias and is_jpeg else 1
    pixels = _decode_jpeg(encoded, height, width, channels, reduction) if is_jpeg else None
    if pixels is None:
        pixels, reduction = images.decode(encoded, channels=channels), 1
    views = np.empty((len(boxes), *size, channels), np.uint8)
    for view, box in zip(views, boxes, strict=True):
        view[...] = _resize(*_cut(pixels, box, reduction), size, method, antialias)
    return views


def draw(
    encoded: bytes, generator: np.random.Generator, crops: Crops, *, channels: int
) -> np.ndarray:
    """Random crops of an encoded picture: uint8 [V, h, w, channels]; raises as decode_crops does."""

    def boxes_of(height, width):
        return [random_box(generator, height=height, width=width, **how) for how in crops.boxes]

    how = {"size": crops.size, "method": crops.method, "antialias": crops.antialias}
    return decode_crops(encoded, boxes_of, channels=channels, **how)


def _header(encoded, channels):
    """(height, width, whether the fast decoder gives the pixels that Pillow would give)."""
    try:
        height, width, color_space, _ = simplejpeg.decode_jpeg_header(encoded)
        return height, width, (color_space, channels) in _SAME_AS_PILLOW
    except ValueError:  # another format
        with Image.open(io.BytesIO(encoded)) as picture:
            return picture.height, picture.width, False


def _reduction(boxes, size):
    """The largest of 8, 4, 2 and 1 which leaves every box _SPARE times its view's pixels."""
    spare = min(min(box[2] / size[0], box[3] / size[1]) for box in boxes) / _SPARE
    return next((by for by in (8, 4, 2) if spare >= by), 1)


def _decode_jpeg(encoded, height, width, channels, reduction):
    """uint8 [height / reduction, width / reduction, channels], rounded up; None when damaged."""
    try:
        return simplejpeg.decode_jpeg(
            encoded,
            "GRAY" if channels == 1 else "RGB",
            min_height=-(-height // reduction),
            min_width=-(-width // reduction),
        )
    except ValueError:  # Pillow forgives some damage, and names the rest
        return None


def _cut(pixels, box, reduction):
    """The pixels [h, w, C] that a box touches, and where it lies among them, in parts of a pixel."""
    top, left, height, width = (side / reduction for side in box)
    first, last = math.floor(top), math.ceil(top + height)
    start, stop = math.floor(left), math.ceil(left + width)
    return pixels[first:last, start:stop], (top - first, left - start, height, width)


def _resize(part, box, size, method, antialias):
    if cykooz_resizer is not None:
        return _resize_fast(part, box, size, method, antialias)
    if not antialias:
        return _interpolate(part, size, method)  # never reduced: the box is the whole part
    picture = Image.fromarray(part[..., 0] if part.shape[-1] == 1 else part)
    top, left, height, width = box
    kernel = Image.Resampling[method.upper()]
    inside = (left, top, left + width, top + height)
    return np.asarray(picture.resize(size[::-1], kernel, box=inside)).reshape(*size, -1)


def _resize_fast(part, box, size, method, antialias):
    kind = cykooz_resizer.PixelType.U8 if part.shape[-1] == 1 else cykooz_resizer.PixelType.U8x3
    source = cykooz_resizer.ImageData(part.shape[1], part.shape[0], kind, part.tobytes())
    result = cykooz_resizer.ImageData(size[1], size[0], kind)
    top, left, height, width = box
    kernel = cykooz_resizer.FilterType["catmull_rom" if method == "bicubic" else method]
    options = cykooz_resizer.ResizeOptions(
        resize_alg=cykooz_resizer.ResizeAlg.convolution(kernel),
        crop_box=cykooz_resizer.CropBox(left, top, width, height),
    )
    if not antialias:
        fixed = cykooz_resizer.Algorithm.interpolation.value  # ResizeAlg has no word for it
        options.rust_options = options.rust_options.set_resize_alg(fixed, kernel.value, 2)
    cykooz_resizer.Resizer().resize(source, result, options)
    return np.frombuffer(result.get_buffer(), np.uint8).reshape(*size, -1)


def _interpolate(part, size, method):
    rows, columns = (
        _weights(length, samples, method)
        for length, samples in zip(part.shape[:2], size, strict=True)
    )
    image = np.tensordot(rows, part.astype(np.float32), 1)  # [h, in, C]
    image = np.einsum("hxc,wx->hwc", image, columns, optimize=True)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _weights(length, samples, method):
    """The matrix [samples, length] of a kernel that is never widened."""
    centers = (np.arange(samples, dtype=np.float32)[:, None] + 0.5) * (length / samples)
    x = np.abs(np.arange(length, dtype=np.float32) + 0.5 - centers)
    if method == "bilinear":
        weights = np.maximum(1.0 - x, 0.0)
    else:
        near = (1.5 * x - 2.5) * x * x + 1.0
        far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
        weights = np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)
