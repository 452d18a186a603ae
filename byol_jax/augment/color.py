"""What pixels hold: the color operations on one image, float [H, W, C] in [0, 1].

The cores do not clip: brightness and contrast may leave [0, 1]; random_color_jitter clips after
each. Every operation takes any number of channels; each docstring says what it then means.
"""

import functools
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from byol_jax import errors
from byol_jax.augment import chance

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
_LUMA = (0.2989, 0.5870, 0.1140)
_FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0}


def to_float(image: jax.Array) -> jax.Array:
    """An image as float32 in [0, 1]: 8 bits over 255, 16 bits over 65535; floats as they are.

    Raises TypeError for any other type, signed integers among them.
    """
    image = jnp.asarray(image)
    if jnp.issubdtype(image.dtype, jnp.floating):
        return image.astype(jnp.float32)
    if image.dtype.name not in _FULL_SCALE:
        raise TypeError(f"an image is uint8, uint16 or float and came as {image.dtype.name}.")
    return image.astype(jnp.float32) / _FULL_SCALE[image.dtype.name]


def _channels(image: jax.Array) -> list[jax.Array]:
    """The channels, [H, W, 1] each: slices fuse with what follows, a reduction over C does not."""
    chex.assert_rank(image, 3)
    return [image[..., c : c + 1] for c in range(image.shape[-1])]


def _luma(image: jax.Array) -> jax.Array:
    """[H, W, 1]: the weighted sum of three channels, the plain mean of any other number."""
    channels = _channels(image)
    weights = _LUMA if len(channels) == 3 else (1.0 / len(channels),) * len(channels)
    return sum(weight * channel for weight, channel in zip(weights, channels, strict=True))


def _channel_means(image: jax.Array) -> jax.Array:
    """[1, 1, C]. Summed over the rows first, whose numbers lie in a line: XLA:CPU takes 16 a time."""
    height, width, channels = image.shape
    columns = jnp.mean(image.reshape(height, width * channels), axis=0)
    return jnp.mean(columns.reshape(1, width, channels), axis=1, keepdims=True)


def add_brightness(image: jax.Array, *, delta: jax.Array | float) -> jax.Array:
    """image + delta, for any channels (BYOL, SimCLR's first version)."""
    return image + delta


def scale_brightness(image: jax.Array, *, factor: jax.Array | float) -> jax.Array:
    """image * factor, for any channels (torchvision, SimCLR's second version)."""
    return image * factor


def contrast(image: jax.Array, *, factor: jax.Array | float, per_channel: bool = True) -> jax.Array:
    """Moves an image [H, W, C] away from its mean by `factor`; 0 leaves only the mean.

    The mean is each channel's own (TensorFlow, BYOL), or that of the grayscale image (torchvision).
    """
    mean = _channel_means(image)
    mean = mean if per_channel else _luma(mean)
    return mean + factor * (image - mean)


def saturation(image: jax.Array, *, factor: jax.Array | float, hsv: bool = True) -> jax.Array:
    """Moves the channels of an image [H, W, C] away from their grey by `factor`; 0 leaves the grey.

    hsv: the grey is the largest channel, and full saturation is the limit, where the smallest
    channel meets 0: scaling S in HSV (TensorFlow, BYOL). Otherwise it is the grayscale image,
    without a limit (torchvision). Both hold for any channels; with one nothing changes.
    """
    if image.shape[-1] == 1:
        return image
    if not hsv:
        grey = _luma(image)
        return grey + factor * (image - grey)
    value = functools.reduce(jnp.maximum, _channels(image))
    chroma = value - functools.reduce(jnp.minimum, _channels(image))
    limit = value / jnp.maximum(chroma, jnp.finfo(image.dtype).tiny)
    return value - jnp.minimum(factor, limit) * (value - image)


def hue(image: jax.Array, *, delta: jax.Array | float) -> jax.Array:
    """Turns the hue of an image [H, W, 3] by delta turns of the HSV circle; 1 is a full turn.

    With other than three channels there is no hue: the image itself.
    """
    if image.shape[-1] != 3:
        return image
    red, green, blue = _channels(image)
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    scale = 1.0 / jnp.where(chroma > 0, chroma, 1.0)
    from_green = jnp.where(value == green, 2.0 + (blue - red) * scale, 4.0 + (red - green) * scale)
    sixths = jnp.where(value == red, (green - blue) * scale, from_green)  # in [-1, 5]
    # Red, green and blue read one trapezoid of the hue, each a third of the circle further on.
    thirds = jnp.array([5.0, 3.0, 1.0], image.dtype)[None, None, :]
    turned = (sixths + thirds) / 6.0 + delta
    place = 6.0 * (turned - jnp.floor(turned))  # in [0, 6]
    return value - chroma * jnp.clip(jnp.minimum(place, 4.0 - place), 0.0, 1.0)


def grayscale(image: jax.Array) -> jax.Array:
    """An image [H, W, C] with every channel set to its grey, .2989 R + .5870 G + .1140 B.

    One channel stays as it is; any other number but three gets the plain mean of all.
    """
    if image.shape[-1] == 1:
        return image
    return jnp.broadcast_to(_luma(image), image.shape)


def random_grayscale(key: jax.Array, image: jax.Array, *, probability: float = 0.2) -> jax.Array:
    """grayscale(image) with the given probability."""
    return chance.sometimes(key, image, probability=probability, change=grayscale)


def solarize(image: jax.Array, *, threshold: float = 0.5) -> jax.Array:
    """Inverts every value at or above the threshold: 1 - value; for any channels."""
    return jnp.where(image < threshold, image, 1.0 - image)


def random_solarize(
    key: jax.Array, image: jax.Array, *, probability: float = 0.2, threshold: float = 0.5
) -> jax.Array:
    """solarize(image) with the given probability."""
    change = functools.partial(solarize, threshold=threshold)
    return chance.sometimes(key, image, probability=probability, change=change)


def normalize(image: jax.Array, *, mean: Sequence[float], std: Sequence[float]) -> jax.Array:
    """(image - mean) / std for an image [H, W, C], a number per channel, or one for all.

    Raises ValueError when there are neither 1 nor C numbers.
    """
    chex.assert_rank(image, 3)
    if len(mean) != len(std) or len(mean) not in (1, image.shape[-1]):
        raise errors.UserError(
            f"mean ({len(mean)} numbers) and std ({len(std)}) must have 1 or {image.shape[-1]}"
            " numbers, the image's channels; give those of your data, or None to leave it out."
        )
    mean, std = (jnp.array(x, image.dtype)[None, None, :] for x in (mean, std))
    return (image - mean) / std
