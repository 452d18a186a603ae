"""Gaussian blur of one image [H, W, C]."""

import functools
import operator
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from byol_jax import errors
from byol_jax.augment import calls, chance

_SMALLEST_SIGMA = 1e-6  # in pixels; such a blur changes nothing
_PAD_MODES = {"same": "constant", "edge": "edge", "reflect": "reflect"}


def tenth_of(height: int) -> int:
    """Returns the blur kernel size of BYOL and SimCLR: a tenth of the image height, plus 1 if even.

    Args:
        height: Height of the image in pixels.

    Returns:
        An odd number: 23 for 224 pixels, 3 for 32.
    """
    return height // 20 * 2 + 1


def _filter(image, weights, axis, padding):
    """Convolves the image along one axis with K scalar weights, where K is odd."""
    radius = len(weights) // 2
    length = image.shape[axis]
    margins = [(radius, radius) if a == axis else (0, 0) for a in range(3)]
    # Each tap reads every pixel. Without barriers, XLA:CPU would recompute them for each tap.
    padded = jnp.pad(jax.lax.optimization_barrier(image), margins, mode=_PAD_MODES[padding])
    padded = jax.lax.optimization_barrier(padded)
    shifts = (jax.lax.slice_in_dim(padded, i, i + length, axis=axis) for i in range(len(weights)))
    weighted = (weight * shift for weight, shift in zip(weights, shifts, strict=True))
    return functools.reduce(operator.add, weighted)


@calls.in_float32
def blur(
    image: jax.Array, *, sigma: jax.Array | float, kernel_size: int, padding: str = "same"
) -> jax.Array:
    """Blurs each channel of an image with a Gaussian kernel.

    The kernel is cut off at its size and scaled to sum to 1.

    Args:
        image: Image [H, W, C] with any number of channels.
        sigma: Standard deviation of the Gaussian in pixels, a number or a scalar. 0 changes
            nothing.
        kernel_size: Side of the kernel in pixels, an odd Python number.
        padding: Values beyond the border: "same" means 0, as TensorFlow's SAME (BYOL, SimCLR);
            "edge" repeats the last pixel (Pillow, MoCo); "reflect" mirrors the image (torchvision).

    Returns:
        Image [H, W, C].

    Raises:
        UserError: If kernel_size is even or below 1, or the padding is unknown.
    """
    chex.assert_rank(image, 3)
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise errors.UserError(f"kernel_size ({kernel_size}) must be odd and at least 1.")
    if padding not in _PAD_MODES:
        choices = ", ".join(_PAD_MODES)
        raise errors.UserError(f"padding ({padding!r}) must be one of {choices}.")
    weights = _gaussian(jnp.maximum(sigma, _SMALLEST_SIGMA), kernel_size // 2)
    for axis in (0, 1):  # a Gaussian is separable
        image = _filter(image, weights, axis, padding)
    return image


def _gaussian(sigma, radius):
    """Returns the 2 * radius + 1 weights of a Gaussian as scalars.

    On GPUs, XLA takes many minutes to compile the views if these weights are a softmax of an array.
    """
    half = [jnp.exp(-0.5 * (offset / sigma) ** 2) for offset in range(radius + 1)]
    total = half[0] + 2.0 * sum(half[1:])
    weights = [weight / total for weight in half]
    return weights[:0:-1] + weights


@calls.compiled_once
def random_blur(
    key: jax.Array,
    image: jax.Array,
    *,
    sigma: Sequence[float] = (0.1, 2.0),
    probability: float = 0.5,
    kernel_size: int | None = None,
    padding: str = "same",
) -> jax.Array:
    """Blurs an image with a given probability and a random sigma.

    Args:
        key: PRNG key.
        image: Image [H, W, C] with any number of channels.
        sigma: Range (low, high) of the uniform standard deviation, in pixels.
        probability: Probability in [0, 1], a Python number.
        kernel_size: Side of the kernel in pixels, odd. None takes a tenth of the image height, made
            odd (BYOL, SimCLR), which does not blur images below 20 pixels. Pillow's blur (MoCo) has
            no fixed size; 13 contains all of it up to sigma 2.
        padding: Values beyond the border, as in `blur`.

    Returns:
        Image [H, W, C].

    Raises:
        UserError: If the probability is not in [0, 1], or as in `blur`.
    """
    chex.assert_rank(image, 3)
    size = tenth_of(image.shape[0]) if kernel_size is None else kernel_size
    if size == 1:
        return image
    chance_key, sigma_key = jax.random.split(key)
    drawn_sigma = jax.random.uniform(sigma_key, dtype=jnp.float32, minval=sigma[0], maxval=sigma[1])
    change = functools.partial(blur, sigma=drawn_sigma, kernel_size=size, padding=padding)
    return chance.sometimes(chance_key, image, probability=probability, change=change)
