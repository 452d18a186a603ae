"""Color jitter: brightness, contrast, saturation and hue by random amounts in a random order."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from byol_jax.augment import chance, color


def _clipped(operation: Callable, **parameter: jax.Array | bool) -> Callable:
    return lambda image: jnp.clip(operation(image, **parameter), 0.0, 1.0)


def _factor(key: jax.Array, strength: float) -> jax.Array:
    return jax.random.uniform(key, minval=max(0.0, 1.0 - strength), maxval=1.0 + strength)


def _delta(key: jax.Array, strength: float) -> jax.Array:
    return jax.random.uniform(key, minval=-strength, maxval=strength)


def _order(key, count):
    """A random order of so many operations, int32 [count]."""
    return jax.random.permutation(key, jnp.arange(count, dtype=jnp.int32))


def _in_order(order, image, operations):
    """Applies the operations in the order int32 [their number]; only one at a time is computed."""
    if not operations:
        return image

    def apply(image, index):
        return jax.lax.switch(index, operations, image), None

    return jax.lax.scan(apply, image, order)[0]


def random_color_jitter(
    key: jax.Array,
    image: jax.Array,
    *,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    probability: float = 0.8,
    additive_brightness: bool = True,
    per_channel_contrast: bool = True,
    hsv_saturation: bool = True,
) -> jax.Array:
    """Changes the colors of an image [H, W, C], with the given probability: [H, W, C] in [0, 1].

    The four numbers are the largest changes: brightness is added from U(-b, b), or multiplies by
    U(max(0, 1 - b), 1 + b), as contrast and saturation do; hue turns by U(-h, h). All orders are as
    likely, and the image is clipped after each. A strength of 0, or hue where there are not three
    channels, is left out of the program. The defaults are BYOL's; torchvision's (MoCo, InstDisc)
    has all three flags False, SimCLR's second version only the first.
    """
    happens, order_key, *keys = jax.random.split(key, 6)

    operations = []
    if brightness and additive_brightness:
        operations.append(_clipped(color.add_brightness, delta=_delta(keys[0], brightness)))
    elif brightness:
        operations.append(_clipped(color.scale_brightness, factor=_factor(keys[0], brightness)))
    if contrast:
        how = {"factor": _factor(keys[1], contrast), "per_channel": per_channel_contrast}
        operations.append(_clipped(color.contrast, **how))
    if saturation and image.shape[-1] > 1:
        how = {"factor": _factor(keys[2], saturation), "hsv": hsv_saturation}
        operations.append(_clipped(color.saturation, **how))
    if hue and image.shape[-1] == 3:
        operations.append(_clipped(color.hue, delta=_delta(keys[3], hue)))
    order = _order(order_key, len(operations))
    change = functools.partial(_in_order, order, operations=operations)
    return chance.sometimes(happens, image, probability=probability, change=change)
