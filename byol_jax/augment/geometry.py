"""Cropping, resizing and flipping of one image [H, W, C].

Resizing samples at half-pixel centers. As in TensorFlow and Pillow, the kernel is cut off at the
edges of the box and scaled to sum to 1. On an accelerator, resizing an axis is a small matrix
product; on a CPU, it gathers the few pixels of each sample.

The bicubic kernel is Keys' with a = -0.5, which TensorFlow 2 uses (BYOL, SimCLR), and also Pillow
and torchvision with antialiasing. Without antialiasing PyTorch uses a = -0.75, which none of the
methods needs.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from byol_jax import collectives, errors
from byol_jax.augment import calls, chance


def _triangle(x: jax.Array) -> jax.Array:
    return jnp.maximum(1.0 - jnp.abs(x), 0.0)


def _keys_cubic(x: jax.Array) -> jax.Array:
    x = jnp.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return jnp.where(x < 1.0, near, jnp.where(x < 2.0, far, 0.0))


class _Kernel(NamedTuple):
    weight: Callable[[jax.Array], jax.Array]  # from a pixel's distance to its weight
    radius: int  # the weight is 0 beyond this distance


_KERNELS = {"bilinear": _Kernel(_triangle, 1), "bicubic": _Kernel(_keys_cubic, 2)}


def _sample_positions(start, length, num_out, antialias):
    """Returns the centers [num_out, 1] of evenly spaced samples, and the resize kernel's width."""
    step = length / num_out
    centers = start + (jnp.arange(num_out, dtype=jnp.float32)[:, None] + 0.5) * step
    return centers, jnp.maximum(step, 1.0) if antialias else 1.0


def _sample_weights(pixels, start, length, *, num_out, method, antialias):
    """Returns interpolation weights [num_out, P] from P input pixels to num_out output pixels."""
    centers, width = _sample_positions(start, length, num_out, antialias)
    pixels = pixels.astype(jnp.float32)
    weights = _KERNELS[method].weight((pixels + 0.5 - centers) / width)
    inside = (pixels + 1.0 > start) & (pixels < start + length)
    weights = jnp.where(inside, weights, 0.0)
    return weights / jnp.sum(weights, axis=1, keepdims=True)


def _resample_by_matrix(image, start, length, *, axis, num_out, method, antialias):
    """Resizes a range of pixels along one axis, by a matrix product."""
    pixels = jnp.arange(image.shape[axis], dtype=jnp.int32)[None, :]
    weights = _sample_weights(
        pixels, start, length, num_out=num_out, method=method, antialias=antialias
    )
    # At the default precision, accelerators would round the pixels to 8 bits of mantissa.
    exact = jax.lax.Precision.HIGHEST
    return jnp.moveaxis(jnp.tensordot(weights, image, (1, axis), precision=exact), 0, axis)


def _resample_by_taps(image, start, length, *, axis, num_out, method, antialias):
    """Resizes a range of pixels along one axis; gathers the few pixels that each sample needs."""
    centers, width = _sample_positions(start, length, num_out, antialias)
    radius = _KERNELS[method].radius
    num_in = image.shape[axis]
    num_taps = math.ceil(2 * radius * (max(num_in / num_out, 1.0) if antialias else 1.0))
    first = jnp.floor(centers - radius * width + 0.5).astype(jnp.int32)
    pixels = first + jnp.arange(num_taps, dtype=jnp.int32)[None, :]
    weights = _sample_weights(
        pixels, start, length, num_out=num_out, method=method, antialias=antialias
    )
    weight_shape = [num_out if a == axis else 1 for a in range(3)]
    out_shape = [num_out if a == axis else side for a, side in enumerate(image.shape)]

    def add(total, tap):
        tap_pixels, tap_weights = tap
        values = jnp.take(image, tap_pixels, axis=axis, mode="clip")
        return total + tap_weights.reshape(weight_shape) * values, None

    # A loop: XLA:CPU would fuse two unrolled axes, and gather taps x taps pixels for each output.
    # shard_map requires that the sum starts as varying as it ends.
    start_sum = jnp.zeros(out_shape, image.dtype)
    start_sum, image, taps = collectives.vary_alike((start_sum, image, (pixels.T, weights.T)))
    resampled, _ = jax.lax.scan(add, start_sum, taps)
    return resampled


def _resample(image, start, length, **options):
    """Resizes a range of pixels along one axis, with the fastest method on each platform."""
    by_taps = functools.partial(_resample_by_taps, **options)
    by_matrix = functools.partial(_resample_by_matrix, **options)
    return jax.lax.platform_dependent(image, start, length, cpu=by_taps, default=by_matrix)


def height_and_width(size: int | Sequence[int]) -> tuple[int, int]:
    """Expands an image size to a pair (height, width).

    Args:
        size: One number for both, or a pair (height, width).

    Returns:
        The height and the width in pixels.
    """
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width


@calls.in_float32
def crop_and_resize(
    image: jax.Array,
    box: jax.Array,
    *,
    size: int | Sequence[int],
    method: str = "bilinear",
    antialias: bool = False,
) -> jax.Array:
    """Crops a box from an image and resizes it.

    No pixel outside the box affects the result. Bicubic resampling overshoots; its result is
    clipped to [0, 1].

    Args:
        image: Image [H, W, C] with any number of channels, float in [0, 1].
        box: The box (top, left, height, width) in pixels, inside the image; an int or float array
            [4].
        size: Size of the result, h for both sides or (h, w).
        method: "bilinear" or "bicubic".
        antialias: True widens the kernel if the box shrinks.

    Returns:
        Image [h, w, C].

    Raises:
        UserError: If the method is unknown.
    """
    chex.assert_rank(image, 3)
    if method not in _KERNELS:
        choices = ", ".join(_KERNELS)
        raise errors.UserError(f"method ({method!r}) must be one of {choices}.")
    box = jnp.asarray(box).astype(jnp.float32)
    chex.assert_shape(box, (4,))
    for axis, num_out in enumerate(height_and_width(size)):
        image = _resample(
            image,
            box[axis],
            box[axis + 2],
            axis=axis,
            num_out=num_out,
            method=method,
            antialias=antialias,
        )
    return jnp.clip(image, 0.0, 1.0) if method == "bicubic" else image


@calls.in_float32
def resize(
    image: jax.Array,
    *,
    size: int | Sequence[int],
    method: str = "bilinear",
    antialias: bool = False,
) -> jax.Array:
    """Resizes an image, unless it has the right size already.

    Args:
        image: Image [H, W, C] with any number of channels, float in [0, 1].
        size: Size of the result, h for both sides or (h, w).
        method: "bilinear" or "bicubic".
        antialias: True widens the kernel if the image shrinks.

    Returns:
        Image [h, w, C].

    Raises:
        UserError: If the method is unknown and the image does not have the size.
    """
    chex.assert_rank(image, 3)
    if image.shape[:2] == height_and_width(size):
        return image
    box = jnp.array([0, 0, *image.shape[:2]], jnp.int32)
    return crop_and_resize(image, box, size=size, method=method, antialias=antialias)


def center_crop(image: jax.Array, *, size: int | Sequence[int]) -> jax.Array:
    """Crops the center of an image, without resizing.

    If a margin is odd, its smaller half is above or to the left.

    Args:
        image: Image [H, W, C].
        size: Size of the crop, h for both sides or (h, w).

    Returns:
        Image [h, w, C].

    Raises:
        UserError: If the image is smaller than the crop.
    """
    chex.assert_rank(image, 3)
    image_height, image_width = image.shape[:2]
    height, width = height_and_width(size)
    if height > image_height or width > image_width:
        raise errors.UserError(
            f"a center crop of {height} x {width} pixels is larger than the image, "
            f"{image_height} x {image_width}; resize the image first."
        )
    top = (image_height - height) // 2
    left = (image_width - width) // 2
    return image[top : top + height, left : left + width]


def _central_box(height: int, width: int, ratio: Sequence[float]) -> tuple[int, int]:
    """Returns the size of the largest box whose ratio (width / height) is in a given range."""
    clamped = min(max(width / height, ratio[0]), ratio[1])
    return min(height, round(width / clamped)), min(width, round(height * clamped))


def _draw_sides(key, num_pixels, area, ratio, attempts):
    """Draws the heights and widths of random boxes, int32 [attempts] each."""
    area_key, ratio_key = jax.random.split(key)
    shares = jax.random.uniform(area_key, (attempts,), jnp.float32, minval=area[0], maxval=area[1])
    areas = num_pixels * shares
    low = math.log(ratio[0])
    high = math.log(ratio[1])
    ratios = jnp.exp(
        jax.random.uniform(ratio_key, (attempts,), jnp.float32, minval=low, maxval=high)
    )
    sides = (jnp.sqrt(areas / ratios), jnp.sqrt(areas * ratios))
    return tuple(jnp.maximum(jnp.round(side).astype(jnp.int32), 1) for side in sides)


@calls.compiled_once
def random_box(
    key: jax.Array,
    *,
    height: int,
    width: int,
    area: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    attempts: int = 10,
) -> jax.Array:
    """Draws the box of a random resized crop.

    The area is uniform, the ratio log-uniform, and the position uniform. With one attempt, a side
    that is too long is clipped to the image (BYOL). With several attempts, the first box that fits
    counts; if none fits, the result is the largest central box with a ratio in range (torchvision;
    SimCLR's TensorFlow sampler differs little).

    Args:
        key: PRNG key.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        area: Range (low, high) of the box's share of the image area.
        ratio: Range (low, high) of width / height.
        attempts: Number of boxes to draw, at least 1.

    Returns:
        The box (top, left, height, width) in pixels, int32 [4].

    Raises:
        UserError: If attempts is below 1, or a range is not positive and ascending.
    """
    if attempts < 1 or not 0 < area[0] <= area[1] or not 0 < ratio[0] <= ratio[1]:
        raise errors.UserError(
            "random crop: area and ratio must be ascending pairs of positive numbers, and attempts "
            f"at least 1; got area {tuple(area)}, ratio {tuple(ratio)}, attempts {attempts}."
        )
    sides_key, top_key, left_key = jax.random.split(key, 3)
    heights, widths = _draw_sides(sides_key, height * width, area, ratio, attempts)
    fits = (heights <= height) & (widths <= width)
    first = jnp.argmax(fits)  # 0 if none fits
    box_height = jnp.minimum(heights[first], height)
    box_width = jnp.minimum(widths[first], width)
    top = jax.random.randint(top_key, (), 0, height - box_height + 1, dtype=jnp.int32)
    left = jax.random.randint(left_key, (), 0, width - box_width + 1, dtype=jnp.int32)
    box = jnp.stack([top, left, box_height, box_width])
    if attempts == 1:
        return box
    central_height, central_width = _central_box(height, width, ratio)
    central_top = (height - central_height) // 2
    central_left = (width - central_width) // 2
    central = jnp.array([central_top, central_left, central_height, central_width], jnp.int32)
    return jnp.where(jnp.any(fits), box, central)


@calls.compiled_once
def random_resized_crop(
    key: jax.Array,
    image: jax.Array,
    *,
    size: int | Sequence[int],
    area: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    attempts: int = 10,
    method: str = "bilinear",
    antialias: bool = False,
) -> jax.Array:
    """Crops a random box from an image and resizes it.

    Args:
        key: PRNG key.
        image: Image [H, W, C] with any number of channels, float in [0, 1].
        size: Size of the result, h for both sides or (h, w).
        area: Range (low, high) of the box's share of the image area.
        ratio: Range (low, high) of the box's width / height.
        attempts: Number of boxes to draw, at least 1; see `random_box`.
        method: "bilinear" or "bicubic".
        antialias: True widens the kernel if the box shrinks.

    Returns:
        Image [h, w, C].

    Raises:
        UserError: As in `random_box` and `crop_and_resize`.
    """
    chex.assert_rank(image, 3)
    height, width = image.shape[:2]
    box = random_box(key, height=height, width=width, area=area, ratio=ratio, attempts=attempts)
    return crop_and_resize(image, box, size=size, method=method, antialias=antialias)


def patches(image: jax.Array, *, size: int, stride: int) -> jax.Array:
    """Cuts an image into a grid of square patches.

    Patches overlap if the stride is below the size (CPC: size 64 and stride 32 on 256 pixels).
    Pixels at the right and bottom edges that do not fill a patch are not used.

    Args:
        image: Image [H, W, C].
        size: Side of a patch in pixels.
        stride: Distance between the starts of neighbouring patches, in pixels.

    Returns:
        Patches [G, G', size, size, C], where G is the number of rows and G' that of columns.

    Raises:
        UserError: If a patch is larger than the image.
    """
    height, width, channels = image.shape
    if size > min(height, width):
        raise errors.UserError(
            f"patches of {size} pixels are larger than the image, {height} x {width}."
        )
    rows, columns = (
        jnp.arange(0, side - size + 1, stride)[:, None] + jnp.arange(size)[None, :]
        for side in (height, width)
    )
    cut = image[rows][:, :, columns]  # [G, size, G', size, C]
    chex.assert_shape(cut, (None, size, None, size, channels))
    return cut.swapaxes(1, 2)


def flip(image: jax.Array) -> jax.Array:
    """Mirrors an image left to right.

    Args:
        image: Image [H, W, C].

    Returns:
        Image [H, W, C].
    """
    chex.assert_rank(image, 3)
    return image[:, ::-1]


@calls.compiled_once
def random_flip(key: jax.Array, image: jax.Array, *, probability: float = 0.5) -> jax.Array:
    """Mirrors an image left to right with a given probability.

    Args:
        key: PRNG key.
        image: Image [H, W, C].
        probability: Probability in [0, 1], a Python number.

    Returns:
        Image [H, W, C].

    Raises:
        UserError: If the probability is not in [0, 1].
    """
    return chance.sometimes(key, image, probability=probability, change=flip)
