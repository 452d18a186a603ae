"""Color operations on one image [H, W, C], float in [0, 1].

No operation clips its result: brightness and contrast can leave [0, 1], and `random_color_jitter`
clips after each. Every operation accepts any number of channels; the docstrings say what happens if
there are not three.
"""

import functools
import operator
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from byol_jax import errors
from byol_jax.augment import calls, chance

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_STD = (0.2023, 0.1994, 0.2010)
_LUMA = (0.2989, 0.5870, 0.1140)
_FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0}


def to_float(image: jax.Array) -> jax.Array:
    """Converts an image to float32; integers are scaled to [0, 1].

    Args:
        image: Array of any shape: uint8 is divided by 255, uint16 by 65535, and float values
            remain.

    Returns:
        Float32 array of the same shape.

    Raises:
        TypeError: If the image has another dtype, such as a signed integer.
    """
    image = jnp.asarray(image)
    if jnp.issubdtype(image.dtype, jnp.floating):
        return image.astype(jnp.float32)
    dtype = image.dtype.name
    if dtype not in _FULL_SCALE:
        raise TypeError(f"an image must be uint8, uint16 or float, not {dtype}.")
    return image.astype(jnp.float32) / _FULL_SCALE[dtype]


def _channels(image: jax.Array) -> list[jax.Array]:
    """Splits an image into its channels, [H, W, 1] each.

    XLA fuses slices with the operations that follow, but not a reduction over C.
    """
    chex.assert_rank(image, 3)
    return [image[..., c : c + 1] for c in range(image.shape[-1])]


def _luma(image: jax.Array) -> jax.Array:
    """Returns the gray image [H, W, 1]: the luma of an RGB image, else the mean of all channels."""
    channels = _channels(image)
    weights = _LUMA if len(channels) == 3 else (1.0 / len(channels),) * len(channels)
    weighted = (weight * channel for weight, channel in zip(weights, channels, strict=True))
    return functools.reduce(operator.add, weighted)


def _channel_means(image: jax.Array) -> jax.Array:
    """Returns the mean of each channel, [1, 1, C]."""
    height, width, channels = image.shape
    # Average over the height first: XLA:CPU adds the contiguous numbers of a row 16 at once.
    columns = jnp.mean(image.reshape(height, width * channels), axis=0)
    return jnp.mean(columns.reshape(1, width, channels), axis=1, keepdims=True)


@calls.in_float32
def add_brightness(image: jax.Array, *, delta: jax.Array | float) -> jax.Array:
    """Adds a constant to an image, as BYOL and the first version of SimCLR's code do.

    Args:
        image: Image [H, W, C] with any number of channels.
        delta: The constant, a number or a scalar.

    Returns:
        Image [H, W, C], not clipped.
    """
    return image + delta


@calls.in_float32
def scale_brightness(image: jax.Array, *, factor: jax.Array | float) -> jax.Array:
    """Multiplies an image by a factor, as torchvision and the second version of SimCLR's code do.

    Args:
        image: Image [H, W, C] with any number of channels.
        factor: The factor, a number or a scalar, at least 0.

    Returns:
        Image [H, W, C], not clipped.
    """
    return image * factor


@calls.in_float32
def contrast(image: jax.Array, *, factor: jax.Array | float, per_channel: bool = True) -> jax.Array:
    """Scales the contrast of an image: mean + factor * (image - mean).

    Args:
        image: Image [H, W, C] with any number of channels.
        factor: A number or a scalar, at least 0: 0 leaves only the mean, 1 changes nothing.
        per_channel: True uses each channel's own mean (TensorFlow, BYOL); False uses the mean of
            the gray image (torchvision).

    Returns:
        Image [H, W, C], not clipped.
    """
    mean = _channel_means(image)
    mean = mean if per_channel else _luma(mean)
    return mean + factor * (image - mean)


@calls.in_float32
def saturation(image: jax.Array, *, factor: jax.Array | float, hsv: bool = True) -> jax.Array:
    """Scales the saturation of an image: gray + factor * (image - gray).

    Args:
        image: Image [H, W, C]; one channel is returned unchanged.
        factor: A number or a scalar, at least 0: 0 leaves only gray, 1 changes nothing.
        hsv: True scales S in HSV space (TensorFlow, BYOL): gray is the largest channel, and the
            saturation stops growing when the smallest channel is 0. False uses the gray image,
            without a limit (torchvision). Both are defined for any number of channels.

    Returns:
        Image [H, W, C], not clipped.
    """
    if image.shape[-1] == 1:
        return image
    if not hsv:
        gray = _luma(image)
        return gray + factor * (image - gray)
    value = functools.reduce(jnp.maximum, _channels(image))
    chroma = value - functools.reduce(jnp.minimum, _channels(image))
    gray = chroma == 0  # no limit; a division by 0 would make the gradient nan
    limit = jnp.where(gray, factor, value / jnp.where(gray, 1.0, chroma))
    return value - jnp.minimum(factor, limit) * (value - image)


@calls.in_float32
def hue(image: jax.Array, *, delta: jax.Array | float) -> jax.Array:
    """Rotates the hue of an RGB image in HSV space.

    Args:
        image: Image [H, W, 3]; any other number of channels is returned unchanged.
        delta: The rotation in turns, a number or a scalar; 1 is the full circle.

    Returns:
        Image [H, W, C].
    """
    if image.shape[-1] != 3:
        return image
    red, green, blue = _channels(image)
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    scale = 1.0 / jnp.where(chroma > 0, chroma, 1.0)
    from_green = jnp.where(value == green, 2.0 + (blue - red) * scale, 4.0 + (red - green) * scale)
    sixths = jnp.where(value == red, (green - blue) * scale, from_green)  # in [-1, 5]
    # All three channels are the same trapezoid function of the hue, shifted by thirds of a turn.
    thirds = jnp.array([5.0, 3.0, 1.0], image.dtype)[None, None, :]
    turned = (sixths + thirds) / 6.0 + delta
    position = 6.0 * (turned - jnp.floor(turned))  # in [0, 6]
    return value - chroma * jnp.clip(jnp.minimum(position, 4.0 - position), 0.0, 1.0)


@calls.in_float32
def grayscale(image: jax.Array) -> jax.Array:
    """Sets every channel of an image to the gray value, 0.2989 R + 0.5870 G + 0.1140 B.

    Args:
        image: Image [H, W, C]. One channel is returned unchanged; if C is neither 1 nor 3, the gray
            value is the mean of the channels.

    Returns:
        Image [H, W, C].
    """
    if image.shape[-1] == 1:
        return image
    return jnp.broadcast_to(_luma(image), image.shape)


@calls.compiled_once
def random_grayscale(key: jax.Array, image: jax.Array, *, probability: float = 0.2) -> jax.Array:
    """Converts an image to gray with a given probability.

    Args:
        key: PRNG key.
        image: Image [H, W, C] with any number of channels; see `grayscale`.
        probability: Probability in [0, 1], a Python number.

    Returns:
        Image [H, W, C].

    Raises:
        UserError: If the probability is not in [0, 1].
    """
    return chance.sometimes(key, image, probability=probability, change=grayscale)


@calls.in_float32
def solarize(image: jax.Array, *, threshold: float = 0.5) -> jax.Array:
    """Inverts the values of an image at or above a threshold: 1 - value.

    Args:
        image: Image [H, W, C] with any number of channels.
        threshold: The smallest value to invert.

    Returns:
        Image [H, W, C].
    """
    return jnp.where(image < threshold, image, 1.0 - image)


@calls.compiled_once
def random_solarize(
    key: jax.Array, image: jax.Array, *, probability: float = 0.2, threshold: float = 0.5
) -> jax.Array:
    """Solarizes an image with a given probability.

    Args:
        key: PRNG key.
        image: Image [H, W, C] with any number of channels.
        probability: Probability in [0, 1], a Python number.
        threshold: The smallest value to invert.

    Returns:
        Image [H, W, C].

    Raises:
        UserError: If the probability is not in [0, 1].
    """
    change = functools.partial(solarize, threshold=threshold)
    return chance.sometimes(key, image, probability=probability, change=change)


@calls.in_float32
def normalize(image: jax.Array, *, mean: Sequence[float], std: Sequence[float]) -> jax.Array:
    """Subtracts a mean from an image and divides by a standard deviation, for each channel.

    Args:
        image: Image [H, W, C].
        mean: C numbers, or one for all channels.
        std: As many numbers as `mean`.

    Returns:
        Image [H, W, C].

    Raises:
        UserError: If mean and std have neither 1 nor C numbers.
    """
    chex.assert_rank(image, 3)
    num_channels = image.shape[-1]
    num_means = len(mean)
    num_stds = len(std)
    if num_means != num_stds or num_means not in (1, num_channels):
        raise errors.UserError(
            f"mean has {num_means} numbers and std has {num_stds}, but the image has "
            f"{num_channels} channels; give 1 or {num_channels} numbers for each, or None for both "
            "to skip normalization."
        )
    centers = jnp.array(mean, image.dtype)[None, None, :]
    scales = jnp.array(std, image.dtype)[None, None, :]
    return (image - centers) / scales
