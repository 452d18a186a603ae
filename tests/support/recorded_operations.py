"""The authors' operations on images, by the names in the recordings, as ours."""

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
    """(images, key, what the authors' code made of them) for all files of a kind."""
    for file in recorded.files(name):
        arrays = recorded.load(file).arrays
        images = jnp.asarray(arrays.pop("images"))
        yield from ((images, key, wanted) for key, wanted in arrays.items())


def operation(key, size):
    """Our function of one image [size, size, C] for a key such as byol_hue/0.1 or tv_blur23/1.5."""
    (code, _, rest) = key.partition("_")
    name, _, parameter = rest.partition("/")
    if code == "tv":
        return _torchvision(name, parameter)
    if name == "blur":
        taps = 2 * int(size / 10 / 2) + 1
        return functools.partial(augment.blur, sigma=float(parameter), kernel_size=taps)
    return _CORES[name](parameter)


def _torchvision(name, parameter):
    if name.startswith("resized_crop"):
        box, size = parameter.split("/")
        box, method = jnp.array([int(x) for x in box.split(",")]), name.split("_")[-1]
        how = {"size": int(size), "method": method, "antialias": True}
        return lambda image: augment.crop_and_resize(image, box, **how)
    if name.startswith("blur"):
        how = {"sigma": float(parameter), "kernel_size": int(name[6:]), "padding": "reflect"}
        return functools.partial(augment.blur, **how)
    if name == "brightness":
        return functools.partial(augment.scale_brightness, factor=float(parameter))
    flags = {"contrast": {"per_channel": False}, "saturation": {"hsv": False}}.get(name, {})
    return functools.partial(_CORES[name](parameter), **flags)
