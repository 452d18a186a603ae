"""Whether a random operation happens: with a probability known when the program is traced."""

from collections.abc import Callable

import jax

from byol_jax import errors


def sometimes(
    key: jax.Array,
    image: jax.Array,
    *,
    probability: float,
    change: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """change(image) with the given probability, else the image itself, bit for bit.

    The probability is a Python number: at 0 `change` is not even traced, at 1 nothing is drawn.
    `change` keeps shape and type. Raises ValueError when the probability is not in [0, 1].
    """
    if not 0 <= probability <= 1:
        raise errors.UserError(f"a probability is in [0, 1] and came as {probability}.")
    if probability == 0:
        return image
    if probability == 1:
        return change(image)
    return jax.lax.cond(jax.random.bernoulli(key, probability), change, lambda image: image, image)
