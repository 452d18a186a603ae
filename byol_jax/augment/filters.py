"""Gaussian blur of one image [H, W, C]."""

import functools
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from byol_jax import errors
from byol_jax.augment import chance

_PAD_MODES = {"same": "constant", "edge": "edge", "reflect": "reflect"}


def tenth_of(height: int) -> int:
    """BYOL's and SimCLR's kernel size: a tenth of the image's height, made odd (224: 23, 32: 3)."""
    return height // 20 * 2 + 1


def _filter(image, weights, axis, padding):
    """The weighted sum of the image's shifts along one axis; weights are [odd]."""
    radius, length = len(weights) // 2, image.shape[axis]
    margins = [(radius, radius) if a == axis else (0, 0) for a in range(3)]
    # Each pixel is read once per tap; without barriers XLA:CPU also computes it once per tap.
    padded = jnp.pad(jax.lax.optimization_barrier(image), margins, mode=_PAD_MODES[padding])
    padded = jax.lax.optimization_barrier(padded)
    shifts = (jax.lax.slice_in_dim(padded, i, i + length, axis=axis) for i in range(len(weights)))
    return sum(weight * shift for weight, shift in zip(weights, shifts, strict=True))


def blur(
    image: jax.Array, *, sigma: jax.Array | float, kernel_size: int, padding: str = "same"
) -> jax.Array:
    """Blurs each channel of an image [H, W, C] with a Gaussian of `sigma` pixels, axis by axis.

    The kernel has kernel_size taps, an odd Python number, and sums to 1 whatever sigma cuts off.
    Beyond the border there is 0 for padding "same" (TensorFlow's SAME; BYOL and SimCLR), the last
    pixel for "edge" (Pillow; MoCo), the mirrored image for "reflect" (torchvision).

    Raises ValueError when kernel_size is even or below 1, or for another padding.
    """
    chex.assert_rank(image, 3)
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise errors.UserError(f"kernel_size ({kernel_size}) must be odd and at least 1.")
    if padding not in _PAD_MODES:
        raise errors.UserError(f"padding ({padding!r}) must be one of {', '.join(_PAD_MODES)}.")
    offsets = jnp.arange(kernel_size, dtype=jnp.float32) - kernel_size // 2
    weights = jax.nn.softmax(-0.5 * (offsets / sigma) ** 2)
    for axis in (0, 1):
        image = _filter(image, weights, axis, padding)
    return image


def random_blur(
    key: jax.Array,
    image: jax.Array,
    *,
    sigma: Sequence[float] = (0.1, 2.0),
    probability: float = 0.5,
    kernel_size: int | None = None,
    padding: str = "same",
) -> jax.Array:
    """Blurs an image [H, W, C] with the given probability, sigma uniform in its range.

    kernel_size None is a tenth of the height, made odd (BYOL, SimCLR): nothing below 20 pixels.
    Pillow's blur, MoCo's, has no fixed size: 13 taps hold all it reaches at sigma 2.
    """
    chex.assert_rank(image, 3)
    taps = tenth_of(image.shape[0]) if kernel_size is None else kernel_size
    if taps == 1:
        return image
    happens, draw = jax.random.split(key)
    drawn = jax.random.uniform(draw, minval=sigma[0], maxval=sigma[1])
    change = functools.partial(blur, sigma=drawn, kernel_size=taps, padding=padding)
    return chance.sometimes(happens, image, probability=probability, change=change)
