"""Random crops that the host cuts from large images while it decodes them.

The result agrees with `augment.crop_and_resize` up to rounding, a quarter of a gray level on
average, with antialiasing (Pillow, torchvision) and without (TensorFlow). With antialiasing, the
decoder may shrink a large JPEG by 2, 4 or 8 first, as long as at least two pixels per pixel of the
view remain in each direction. This changes sharp photographs by half a gray level on average; with
one remaining pixel the change would be three times as large.

JPEG files are decoded by libjpeg-turbo with the settings of Pillow, which gives the same bits. This
module does not need jax.
"""

import io
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from byol_jax import errors
from byol_jax.data import images

try:
    import cykooz_resizer
except ImportError:  # no wheel for Linux on ARM; Pillow and numpy compute the same, more slowly
    cykooz_resizer: Any = None

Box = tuple[int, int, int, int]  # top, left, height, width in pixels


class Crops(NamedTuple):
    """Settings of the random crops that are cut from every image.

    Attributes:
        boxes: For each view, the area, ratio and attempts of random_box.
        size: Height and width of the views.
        method: "bilinear" or "bicubic".
        antialias: Whether to average pixels when a crop shrinks.
    """

    boxes: tuple[dict[str, Any], ...]
    size: tuple[int, int]
    method: str
    antialias: bool


METHODS = ("bilinear", "bicubic")
_SPARE = 2  # pixels per pixel of the view, in each direction, that the decoder must leave

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
    """Draws a random box inside an image, from the distribution of `augment.random_box`.

    The area is uniform, the ratio log-uniform, and the position uniform. With one attempt, a side
    that is too long is clipped (BYOL). With several attempts, the first box that fits is used, and
    if no box fits, the largest central box with a ratio in range (torchvision).

    Args:
        generator: Source of random numbers.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        area: Range of the box's share of the image area.
        ratio: Range of width / height.
        attempts: Number of boxes to draw, at least 1.

    Returns:
        The box (top, left, height, width) in pixels.

    Raises:
        UserError: `attempts` is below 1, or a range is not an ascending pair of positive numbers.
    """
    if attempts < 1 or not 0 < area[0] <= area[1] or not 0 < ratio[0] <= ratio[1]:
        raise errors.UserError(
            "random crop: area and ratio must be ascending pairs of positive numbers, and attempts "
            f"at least 1; got area {tuple(area)}, ratio {tuple(ratio)}, attempts {attempts}."
        )
    for _ in range(attempts):
        pixels = height * width * generator.uniform(area[0], area[1])
        aspect = math.exp(generator.uniform(math.log(ratio[0]), math.log(ratio[1])))
        tall = max(1, round(math.sqrt(pixels / aspect)))
        wide = max(1, round(math.sqrt(pixels * aspect)))
        if attempts == 1:
            tall = min(tall, height)
            wide = min(wide, width)
        if tall <= height and wide <= width:
            top = generator.integers(0, height - tall, endpoint=True)
            left = generator.integers(0, width - wide, endpoint=True)
            return int(top), int(left), tall, wide
    aspect = min(max(width / height, ratio[0]), ratio[1])
    tall = min(height, round(width / aspect))
    wide = min(width, round(height * aspect))
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def decode_crops(
    encoded: bytes,
    choose_boxes: Callable[[int, int], Sequence[Box]],
    *,
    size: int | Sequence[int],
    channels: int,
    method: str,
    antialias: bool,
) -> np.ndarray:
    """Decodes an image and cuts boxes from it, each resized to the size of the views.

    Args:
        encoded: Contents of an image file.
        choose_boxes: Returns V boxes (top, left, height, width) inside an image of a given height
            and width, in pixels.
        size: Side, or height and width, of the views.
        channels: 1 or 3.
        method: "bilinear" or "bicubic" (Keys' kernel with a = -0.5).
        antialias: Whether to widen the kernel if a box shrinks. Without it, the image is always
            decoded at full size, because the result depends on single pixels.

    Returns:
        The views, uint8 [V, h, w, channels].

    Raises:
        OSError: The bytes are not an image.
        UserError: The method is unknown.
    """
    if method not in METHODS:
        names = ", ".join(METHODS)
        raise errors.UserError(f"method ({method!r}) must be one of {names}.")
    view_height, view_width = (size, size) if isinstance(size, int) else size
    size = (view_height, view_width)
    height, width, is_jpeg = _header(encoded, channels)
    boxes = choose_boxes(height, width)
    reduction = _reduction(boxes, size) if antialias and is_jpeg else 1
    pixels = _decode_jpeg(encoded, height, width, channels, reduction) if is_jpeg else None
    if pixels is None:
        pixels = images.decode(encoded, channels=channels)
        reduction = 1
    views = np.empty((len(boxes), *size, channels), np.uint8)
    for view, box in zip(views, boxes, strict=True):
        part, box_in_part = _cut(pixels, box, reduction)
        view[...] = _resize(part, box_in_part, size, method, antialias)
    return views


def draw(
    encoded: bytes, generator: np.random.Generator, crops: Crops, *, channels: int
) -> np.ndarray:
    """Decodes an image once, and cuts one random crop from it for each view.

    Args:
        encoded: Contents of an image file.
        generator: Source of random numbers.
        crops: The crops to draw.
        channels: 1 or 3.

    Returns:
        The views, uint8 [V, h, w, channels].

    Raises:
        OSError: The bytes are not an image.
    """

    def choose_boxes(height, width):
        return [
            random_box(generator, height=height, width=width, **options) for options in crops.boxes
        ]

    return decode_crops(
        encoded,
        choose_boxes,
        size=crops.size,
        channels=channels,
        method=crops.method,
        antialias=crops.antialias,
    )


def _header(encoded, channels):
    """Returns an image's height and width, and whether the fast decoder's pixels equal Pillow's."""
    try:
        height, width, color_space, _ = simplejpeg.decode_jpeg_header(encoded)
        return height, width, (color_space, channels) in _SAME_AS_PILLOW
    except ValueError:  # not a JPEG
        with Image.open(io.BytesIO(encoded)) as picture:
            return picture.height, picture.width, False


def _reduction(boxes, size):
    """Returns the largest factor by which a JPEG can shrink without a box becoming too small.

    A box must keep _SPARE pixels per pixel of its view, in each direction.
    """
    spare = min(min(box[2] / size[0], box[3] / size[1]) for box in boxes) / _SPARE
    return next((by for by in (8, 4, 2) if spare >= by), 1)


def _decode_jpeg(encoded, height, width, channels, reduction):
    """Decodes a JPEG at a reduced size (rounded up), or returns None if the file is damaged."""
    try:
        return simplejpeg.decode_jpeg(
            encoded,
            "GRAY" if channels == 1 else "RGB",
            min_height=-(-height // reduction),
            min_width=-(-width // reduction),
        )
    except ValueError:  # Pillow tolerates some damage, and reports the rest
        return None


def _cut(pixels, box, reduction):
    """Returns the pixels [h, w, C] that a box touches, and the box in their coordinates."""
    top, left, height, width = (side / reduction for side in box)
    first_row = math.floor(top)
    first_column = math.floor(left)
    rows = slice(first_row, math.ceil(top + height))
    columns = slice(first_column, math.ceil(left + width))
    return pixels[rows, columns], (top - first_row, left - first_column, height, width)


def _resize(part, box, size, method, antialias):
    if cykooz_resizer is not None:
        return _resize_fast(part, box, size, method, antialias)
    if not antialias:
        # Without antialiasing the image is not reduced, so the box is the whole part.
        return _interpolate(part, size, method)
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
        # ResizeAlg does not offer this algorithm, which does not widen the kernel.
        algorithm = cykooz_resizer.Algorithm.interpolation.value
        options.rust_options = options.rust_options.set_resize_alg(algorithm, kernel.value, 2)
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
    """Returns the weights [samples, length] of an interpolation without antialiasing."""
    centers = (np.arange(samples, dtype=np.float32)[:, None] + 0.5) * (length / samples)
    x = np.abs(np.arange(length, dtype=np.float32) + 0.5 - centers)
    if method == "bilinear":
        weights = np.maximum(1.0 - x, 0.0)
    else:
        near = (1.5 * x - 2.5) * x * x + 1.0
        far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
        weights = np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)
