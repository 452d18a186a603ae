"""Random application of an operation to an image."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from byol_jax import errors


def sometimes(
    key: jax.Array,
    image: jax.Array,
    *,
    probability: float,
    change: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """Applies an operation to an image with a given probability.

    At probability 1 the program contains no random draw; at probability 0 it does not contain the
    operation.

    Args:
        key: PRNG key.
        image: Array of any shape.
        probability: Probability of the operation, a Python number in [0, 1].
        change: The operation; its result has the image's shape and dtype.

    Returns:
        change(image), or exactly the image.

    Raises:
        UserError: If the probability is not in [0, 1].
    """
    if not 0 <= probability <= 1:
        raise errors.UserError(f"probability must be in [0, 1], not {probability}.")
    if probability == 0:
        return image
    if probability == 1:
        return change(image)
    happens = jax.random.bernoulli(key, jnp.float32(probability))
    return jax.lax.cond(happens, change, lambda image: image, image)
