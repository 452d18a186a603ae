"""Where pixels come from: crops, resizing and flips of one image [H, W, C].

Resizing samples at half-pixel centers with a kernel that is cut off at the edges of the box and
scaled to sum to 1, as TensorFlow's and Pillow's are. It is two small matrix products, one per axis,
so that an accelerator sees no gather. The cubic kernel is Keys' with a = -0.5, which is that of
TensorFlow 2's bicubic (BYOL, SimCLR) and of Pillow and torchvision where they antialias; without
antialias PyTorch takes a = -0.75, which no system here uses.
"""

import math
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from byol_jax.augment import chance


def _triangle(x: jax.Array) -> jax.Array:
    return jnp.maximum(1.0 - jnp.abs(x), 0.0)


def _keys_cubic(x: jax.Array) -> jax.Array:
    x = jnp.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return jnp.where(x < 1.0, near, jnp.where(x < 2.0, far, 0.0))


_KERNELS = {"bilinear": _triangle, "bicubic": _keys_cubic}


def _resampling_matrix(start, length, *, num_in, num_out, method, antialias):
    """The weights [out, in] which turn `length` pixels from `start` on into num_out samples."""
    step = length / num_out
    centers = start + (jnp.arange(num_out, dtype=jnp.float32)[:, None] + 0.5) * step  # [out, 1]
    pixels = jnp.arange(num_in, dtype=jnp.float32)[None, :]  # [1, in]
    width = jnp.maximum(step, 1.0) if antialias else 1.0
    weights = _KERNELS[method]((pixels + 0.5 - centers) / width)
    inside = (pixels + 1.0 > start) & (pixels < start + length)
    weights = jnp.where(inside, weights, 0.0)
    return weights / jnp.sum(weights, axis=1, keepdims=True)


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
        raise ValueError(f"method ({method!r}) must be one of {', '.join(_KERNELS)}.")
    box = jnp.asarray(box).astype(jnp.float32)
    chex.assert_shape(box, (4,))
    height, width = height_and_width(size)
    how = {"method": method, "antialias": antialias}
    rows = _resampling_matrix(box[0], box[2], num_in=image.shape[0], num_out=height, **how)
    columns = _resampling_matrix(box[1], box[3], num_in=image.shape[1], num_out=width, **how)
    # Accelerators would round the pixels to 8 bits of mantissa at the default precision.
    exact = jax.lax.Precision.HIGHEST
    image = jnp.einsum("hy,yxc->hxc", rows, image, precision=exact)
    image = jnp.einsum("wx,hxc->hwc", columns, image, precision=exact)
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
        raise ValueError(f"a crop of {height} x {width} is larger than {image.shape[:2]}; resize.")
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
        raise ValueError(
            f"a box wants attempts >= 1 and ascending positive ranges, and got attempts {attempts},"
            f" area {tuple(area)}, ratio {tuple(ratio)}."
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
        raise ValueError(f"patches of {size} pixels are larger than the image, {height} x {width}.")
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
