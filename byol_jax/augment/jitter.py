"""Color jitter: random changes of brightness, contrast, saturation and hue, in random order."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from byol_jax.augment import calls, chance, color

_Operation = Callable[[jax.Array], jax.Array]


def _clip_after(operation: Callable[..., jax.Array], **parameters: Any) -> _Operation:
    """Binds the parameters of an operation, and clips its result to [0, 1]."""
    return lambda image: jnp.clip(operation(image, **parameters), 0.0, 1.0)


def _draw_factor(key: jax.Array, strength: float) -> jax.Array:
    low = max(0.0, 1.0 - strength)
    return jax.random.uniform(key, dtype=jnp.float32, minval=low, maxval=1.0 + strength)


def _draw_delta(key: jax.Array, strength: float) -> jax.Array:
    return jax.random.uniform(key, dtype=jnp.float32, minval=-strength, maxval=strength)


def _draw_order(key: jax.Array, count: int) -> jax.Array:
    """Draws a random permutation of 0 ... count - 1, int32 [count]."""
    return jax.random.permutation(key, jnp.arange(count, dtype=jnp.int32))


def _apply_in_order(
    image: jax.Array, *, order: jax.Array, operations: Sequence[_Operation]
) -> jax.Array:
    """Applies several operations to an image in a given order."""
    if not operations:
        return image

    def apply(image, index):
        return jax.lax.switch(index, operations, image), None

    # A scan over a switch computes one operation at a time, not every operation at every position.
    image, _ = jax.lax.scan(apply, image, order)
    return image


@calls.compiled_once
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
    """Changes the colors of an image by random amounts, with a given probability.

    The operations run in a uniformly random order, and the image is clipped to [0, 1] after each.
    An operation of strength 0 is not part of the program. The default flags are BYOL's. torchvision
    (InstDisc, MoCo) sets all three flags to False, SimCLR's second version only the first.

    Args:
        key: PRNG key.
        image: Image [H, W, C] with any number of channels.
        brightness: Strength b: adds a number from U(-b, b), or multiplies by a factor from
            U(max(0, 1 - b), 1 + b).
        contrast: Strength c: a factor from U(max(0, 1 - c), 1 + c).
        saturation: Strength s: a factor from U(max(0, 1 - s), 1 + s); no effect on one channel.
        hue: Strength h in turns: rotates by a number from U(-h, h); no effect unless C is 3.
        probability: Probability in [0, 1] of any change, a Python number.
        additive_brightness: True adds brightness, False multiplies.
        per_channel_contrast: As `per_channel` of `contrast`.
        hsv_saturation: As `hsv` of `saturation`.

    Returns:
        Image [H, W, C].

    Raises:
        UserError: If the probability is not in [0, 1].
    """
    chance_key, order_key, b_key, c_key, s_key, h_key = jax.random.split(key, 6)
    operations = []
    if brightness and additive_brightness:
        delta = _draw_delta(b_key, brightness)
        operations.append(_clip_after(color.add_brightness, delta=delta))
    elif brightness:
        factor = _draw_factor(b_key, brightness)
        operations.append(_clip_after(color.scale_brightness, factor=factor))
    if contrast:
        factor = _draw_factor(c_key, contrast)
        operations.append(
            _clip_after(color.contrast, factor=factor, per_channel=per_channel_contrast)
        )
    if saturation and image.shape[-1] > 1:
        factor = _draw_factor(s_key, saturation)
        operations.append(_clip_after(color.saturation, factor=factor, hsv=hsv_saturation))
    if hue and image.shape[-1] == 3:
        operations.append(_clip_after(color.hue, delta=_draw_delta(h_key, hue)))
    order = _draw_order(order_key, len(operations))
    change = calls.in_float32(
        functools.partial(_apply_in_order, order=order, operations=operations)
    )
    return chance.sometimes(chance_key, image, probability=probability, change=change)
