"""The image operations in the recordings, by their recorded names, as functions of this package."""

import functools

import jax.numpy as jnp

from byol_jax import augment
from support import recorded

_CORES = {
    "brightness": lambda p: functools.partial(augment.add_brightness, delta=float(p)),
    "contrast": lambda p: functools.partial(augment.contrast, factor=float(p)),
    "saturation": lambda p: functools.partial(augment.saturation, factor=float(p)),
    "hue": lambda p: functools.partial(augment.hue, delta=float(p)),
    "grayscale": lambda p: augment.grayscale,
    "hflip": lambda p: augment.flip,
    "solarize": lambda p: functools.partial(augment.solarize, threshold=float(p)),
}


def changed(name):
    """Yields images, the key of an operation, and its recorded result, for all files of a kind."""
    for file in recorded.files(name):
        arrays = recorded.load(file).arrays
        images = jnp.asarray(arrays.pop("images"))
        yield from ((images, key, expected) for key, expected in arrays.items())


def operation(key, size):
    """Returns the operation on an image [size, size, C] for a key such as byol_hue/0.1."""
    library, _, operation_key = key.partition("_")
    name, _, parameter = operation_key.partition("/")
    if library == "tv":
        return _torchvision(name, parameter)
    if name == "blur":
        taps = 2 * int(size / 10 / 2) + 1
        return functools.partial(augment.blur, sigma=float(parameter), kernel_size=taps)
    return _CORES[name](parameter)


def _torchvision(name, parameter):
    if name.startswith("resized_crop"):
        box, size = parameter.split("/")
        return functools.partial(
            augment.crop_and_resize,
            box=jnp.array([int(x) for x in box.split(",")]),
            size=int(size),
            method=name.split("_")[-1],
            antialias=True,
        )
    if name.startswith("blur"):
        return functools.partial(
            augment.blur,
            sigma=float(parameter),
            kernel_size=int(name[6:]),
            padding="reflect",
        )
    if name == "brightness":
        return functools.partial(augment.scale_brightness, factor=float(parameter))
    flags = {"contrast": {"per_channel": False}, "saturation": {"hsv": False}}.get(name, {})
    return functools.partial(_CORES[name](parameter), **flags)
