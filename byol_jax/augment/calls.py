"""Decorators of the operations on images, for their dtypes and for calls outside of jit."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from byol_jax import errors

Operation = TypeVar("Operation", bound=Callable[..., jax.Array])


def in_float32(operation: Operation) -> Operation:
    """Makes an operation compute in float32, or in float64 if the image is float64.

    Args:
        operation: A function operation(image, ...), whose result has the dtype of the image.

    Returns:
        The operation, for images of any floating-point dtype. The result has the dtype of the
        image. An image of another dtype raises UserError.
    """

    @functools.wraps(operation)
    def call(image, *args, **settings):
        image = jnp.asarray(image)
        if not jnp.issubdtype(image.dtype, jnp.floating):
            raise errors.UserError(
                f"the image has the dtype {image.dtype}, but augmentations compute on floats in "
                "[0, 1]; convert it with augment.to_float."
            )
        wide = jnp.float64 if image.dtype == jnp.float64 else jnp.float32
        return operation(image.astype(wide), *args, **settings).astype(image.dtype)

    return call  # pyright: ignore[reportReturnType] (wraps keeps the signature)


def compiled_once(operation: Operation) -> Operation:
    """Makes calls outside of jit reuse the compiled program of an earlier call.

    Without this, each call compiles the operation's branches and loops again, in 0.2 seconds.

    Args:
        operation: A function of arrays with settings as keyword arguments.

    Returns:
        The operation. Inside jit it is unchanged.
    """

    @functools.wraps(operation)
    def call(*arrays, **settings):
        fixed = tuple((name, hashable(value)) for name, value in settings.items())
        try:
            hash(fixed)
        except TypeError:  # a setting is an array
            return operation(*arrays, **settings)
        return _run(arrays, operation=operation, settings=fixed)

    return call  # pyright: ignore[reportReturnType] (wraps keeps the signature)


def hashable(value: Any) -> Any:
    """Returns a setting in a form that can be hashed.

    Args:
        value: The setting.

    Returns:
        A tuple if the value is a list, else the value.
    """
    return tuple(value) if isinstance(value, list) else value


@functools.partial(jax.jit, static_argnames=("operation", "settings"), inline=True)
def _run(arrays, *, operation, settings):
    return operation(*arrays, **dict(settings))
