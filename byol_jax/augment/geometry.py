"""Where pixels come from: crops, resizing and flips of one image [H, W, C].

Resizing samples at half-pixel centers with a kernel that is cut off at the edges of the box and
scaled to sum to 1, as TensorFlow's and Pillow's are. An axis is a small matrix product, so that an
accelerator sees no gather; on a CPU it is the few pixels that a sample is made of. The cubic kernel is Keys' with a = -0.5, which is that of
TensorFlow 2's bicubic (BYOL, SimCLR) and of Pillow and torchvision where they antialias; without
antialias PyTorch takes a = -0.75, which no system here uses.
"""

import functools
import math
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from byol_jax import errors
from byol_jax.augment import chance


def _triangle(x: jax.Array) -> jax.Array:
    return jnp.maximum(1.0 - jnp.abs(x), 0.0)


def _keys_cubic(x: jax.Array) -> jax.Array:
    x = jnp.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return jnp.where(x < 1.0, near, jnp.where(x < 2.0, far, 0.0))


_KERNELS = {"bilinear": (_triangle, 1), "bicubic": (_keys_cubic, 2)}  # and how far it reaches


def _spacing(start, length, num_out, antialias):
    """The centers [out, 1] of num_out samples of `length` pixels, and the kernel's width."""
    step = length / num_out
    centers = start + (jnp.arange(num_out, dtype=jnp.float32)[:, None] + 0.5) * step
    return centers, jnp.maximum(step, 1.0) if antialias else 1.0


def _weights(pixels, start, length, *, num_out, method, antialias):
    """The weights [out, P], summing to 1, of the pixels numbered int32 [out or 1, P]."""
    centers, width = _spacing(start, length, num_out, antialias)
    pixels = pixels.astype(jnp.float32)
    weights = _KERNELS[method][0]((pixels + 0.5 - centers) / width)
    inside = (pixels + 1.0 > start) & (pixels < start + length)
    weights = jnp.where(inside, weights, 0.0)
    return weights / jnp.sum(weights, axis=1, keepdims=True)


def _by_matrix(image, start, length, *, axis, **how):
    """Samples `length` pixels from `start` on along an axis, with a product by [out, in]."""
    pixels = jnp.arange(image.shape[axis], dtype=jnp.int32)[None, :]
    weights = _weights(pixels, start, length, **how)
    # Accelerators would round the pixels to 8 bits of mantissa at the default precision.
    exact = jax.lax.Precision.HIGHEST
    return jnp.moveaxis(jnp.tensordot(weights, image, (1, axis), precision=exact), 0, axis)


def _by_taps(image, start, length, *, axis, num_out, method, antialias):
    """The same by gathering the few pixels, one after the other, which a sample is made of."""
    centers, width = _spacing(start, length, num_out, antialias)
    reach, num_in = _KERNELS[method][1], image.shape[axis]
    num_taps = math.ceil(2 * reach * (max(num_in / num_out, 1.0) if antialias else 1.0))
    first = jnp.floor(centers - reach * width + 0.5).astype(jnp.int32)
    pixels = first + jnp.arange(num_taps, dtype=jnp.int32)[None, :]
    how = {"num_out": num_out, "method": method, "antialias": antialias}
    weights = _weights(pixels, start, length, **how)

    def add(total, tap):
        numbers, factors = tap
        shape = [num_out if a == axis else 1 for a in range(3)]
        read = jnp.take(image, numbers, axis=axis, mode="clip")
        return total + factors.reshape(shape) * read, None

    shape = [num_out if a == axis else side for a, side in enumerate(image.shape)]
    # A loop, since XLA:CPU would fuse two unrolled axes and gather taps x taps for every pixel.
    return jax.lax.scan(add, jnp.zeros(shape, image.dtype), (pixels.T, weights.T))[0]


def height_and_width(size: int | Sequence[int]) -> tuple[int, int]:
    """(h, w) from a size given as h = w or as (h, w)."""
    return (size, size) if isinstance(size, int) else tuple(size)


def crop_and_resize(
    image: jax.Array,
    box: jax.Array,
    *,
    size: int | Sequence[int],
    method: str = "bilinear",
    antialias: bool = False,
) -> jax.Array:
    """Resizes what a box of the image shows to `size`: [h, w, C], from an image float [H, W, C].

    box is (top, left, height, width) in pixels, int or float [4], inside the image; no pixel
    outside it is read, as if the crop came first. size is h = w or (h, w). antialias widens the
    kernel where the box shrinks. Bicubic overshoots; its result is clipped to [0, 1].

    Raises ValueError for a method other than "bilinear" and "bicubic".
    """
    chex.assert_rank(image, 3)
    if method not in _KERNELS:
        raise errors.UserError(f"method ({method!r}) must be one of {', '.join(_KERNELS)}.")
    box = jnp.asarray(box).astype(jnp.float32)
    chex.assert_shape(box, (4,))
    for axis, num_out in enumerate(height_and_width(size)):
        how = {"axis": axis, "num_out": num_out, "method": method, "antialias": antialias}
        by_taps, by_matrix = (functools.partial(f, **how) for f in (_by_taps, _by_matrix))
        place = (image, box[axis], box[axis + 2])
        image = jax.lax.platform_dependent(*place, cpu=by_taps, default=by_matrix)
    return jnp.clip(image, 0.0, 1.0) if method == "bicubic" else image


def resize(
    image: jax.Array,
    *,
    size: int | Sequence[int],
    method: str = "bilinear",
    antialias: bool = False,
) -> jax.Array:
    """Resizes an image [H, W, C] to `size`, h = w or (h, w); the same bits if it has it already."""
    chex.assert_rank(image, 3)
    if image.shape[:2] == height_and_width(size):
        return image
    box = jnp.array([0, 0, *image.shape[:2]], jnp.int32)
    return crop_and_resize(image, box, size=size, method=method, antialias=antialias)


def center_crop(image: jax.Array, *, size: int | Sequence[int]) -> jax.Array:
    """The middle of an image [H, W, C], unscaled: [h, w, C] for size h = w or (h, w).

    Where the margin is odd, the smaller half is above and to the left. Raises ValueError when the
    image is smaller.
    """
    chex.assert_rank(image, 3)
    height, width = height_and_width(size)
    if height > image.shape[0] or width > image.shape[1]:
        raise errors.UserError(
            f"a crop of {height} x {width} is larger than {image.shape[:2]}; resize."
        )
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def _central_box(height: int, width: int, ratio: Sequence[float]) -> tuple[int, int]:
    """The height and width of the largest box with a ratio (width / height) in range."""
    clamped = min(max(width / height, ratio[0]), ratio[1])
    return min(height, round(width / clamped)), min(width, round(height * clamped))


def _draw_sides(key, pixels, area, ratio, attempts):
    """The heights and widths, int32 [attempts] each, of random boxes in an image of `pixels`."""
    area_key, ratio_key = jax.random.split(key)
    areas = pixels * jax.random.uniform(area_key, (attempts,), minval=area[0], maxval=area[1])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    ratios = jnp.exp(jax.random.uniform(ratio_key, (attempts,), minval=low, maxval=high))
    sides = (jnp.sqrt(areas / ratios), jnp.sqrt(areas * ratios))
    return tuple(jnp.maximum(jnp.round(side).astype(jnp.int32), 1) for side in sides)


def random_box(
    key: jax.Array,
    *,
    height: int,
    width: int,
    area: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    attempts: int = 10,
) -> jax.Array:
    """A random box (top, left, height, width) in whole pixels of an image of height x width.

    area, a share of the image's, is uniform, ratio (width / height) log-uniform, and the place
    uniform. With one attempt a side that is too long is clipped to the image's (BYOL); with more,
    the first attempt which fits is taken, and if none does, the largest central box with a ratio
    in range (torchvision; SimCLR's TensorFlow sampler differs by little). int32 [4].

    Raises ValueError when attempts is below 1 or a range is not positive and ascending.
    """
    if attempts < 1 or not 0 < area[0] <= area[1] or not 0 < ratio[0] <= ratio[1]:
        raise errors.UserError(
            "random crop: area and ratio must be ascending positive pairs and attempts >= 1; got "
            f"area {tuple(area)}, ratio {tuple(ratio)}, attempts {attempts}."
        )
    sides_key, top_key, left_key = jax.random.split(key, 3)
    heights, widths = _draw_sides(sides_key, height * width, area, ratio, attempts)
    fits = (heights <= height) & (widths <= width)
    first = jnp.argmax(fits)
    box_height, box_width = jnp.minimum(heights[first], height), jnp.minimum(widths[first], width)
    top = jax.random.randint(top_key, (), 0, height - box_height + 1, dtype=jnp.int32)
    left = jax.random.randint(left_key, (), 0, width - box_width + 1, dtype=jnp.int32)
    box = jnp.stack([top, left, box_height, box_width])
    if attempts == 1:
        return box
    tall, wide = _central_box(height, width, ratio)
    central = jnp.array([(height - tall) // 2, (width - wide) // 2, tall, wide], jnp.int32)
    return jnp.where(jnp.any(fits), box, central)


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
    """A random box of an image [H, W, C], resized to `size`; see random_box and crop_and_resize."""
    chex.assert_rank(image, 3)
    height, width = image.shape[:2]
    box = random_box(key, height=height, width=width, area=area, ratio=ratio, attempts=attempts)
    return crop_and_resize(image, box, size=size, method=method, antialias=antialias)


def patches(image: jax.Array, *, size: int, stride: int) -> jax.Array:
    """Cuts [H, W, C] into a grid of squares that begin `stride` pixels apart: [G, G', size, size, C].

    They overlap where stride < size (CPC: 64 and 32 of 256 pixels); what is left over at the right
    and the bottom is not used. Raises ValueError for a size larger than the image.
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
    """Mirrors an image [H, W, C] left to right."""
    chex.assert_rank(image, 3)
    return image[:, ::-1]


def random_flip(key: jax.Array, image: jax.Array, *, probability: float = 0.5) -> jax.Array:
    """Mirrors an image [H, W, C] left to right with the given probability."""
    return chance.sometimes(key, image, probability=probability, change=flip)
