"""Presets of random views, with the settings that the methods' authors use.

InstDisc and MoCo resize with Pillow, which always antialiases if an image shrinks; TensorFlow's
bicubic (BYOL, SimCLR) does not. TensorFlow scales the saturation in HSV space, and the contrast
about each channel's mean; torchvision uses the gray image for both.
"""

from collections.abc import Callable
from typing import Any

import jax

from byol_jax import errors
from byol_jax.augment import color, views

_TORCHVISION = {
    "antialias": True,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "additive_brightness": False,
    "per_channel_contrast": False,
    "hsv_saturation": False,
}
_IMAGENET = {"mean": color.IMAGENET_MEAN, "std": color.IMAGENET_STD}

# Grill et al. 2020, section 3.1 and appendix B. Their code draws one box per crop.
_BYOL = {"size": 224, "crop_attempts": 1, "method": "bicubic", **_IMAGENET}

# Chen et al. 2020, appendix A, in the second version of their code, which multiplies brightness.
_SIMCLR = {
    "size": 224,
    "crop_attempts": 100,
    "method": "bicubic",
    "brightness": 0.8,
    "contrast": 0.8,
    "saturation": 0.8,
    "hue": 0.2,
    "additive_brightness": False,
    "blur_probability": 0.5,
}

# Wu et al. 2018. He et al. 2020 (MoCo) use the same views.
_INSTDISC = {
    **_TORCHVISION,
    **_IMAGENET,
    "size": 224,
    "order": ("crop", "grayscale", "jitter", "flip"),
    "area": (0.2, 1.0),
    "hue": 0.4,
    "jitter_probability": 1.0,
}

PRESETS = {
    "byol_1": {**_BYOL, "blur_probability": 1.0},
    "byol_2": {**_BYOL, "blur_probability": 0.1, "solarize_probability": 0.2},
    "simclr": _SIMCLR,
    "simclr_cifar": {
        **_SIMCLR,
        "size": 32,
        "brightness": 0.4,
        "contrast": 0.4,
        "saturation": 0.4,
        "hue": 0.1,
        "blur_probability": 0.0,
    },
    "instdisc": _INSTDISC,
    "instdisc_cifar": {
        **_INSTDISC,
        "size": 32,
        "order": ("crop", "jitter", "grayscale"),
        "mean": color.CIFAR_MEAN,
        "std": color.CIFAR_STD,
    },
    "moco_v1": _INSTDISC,
    "moco_v2": {
        **_INSTDISC,
        "order": ("crop", "jitter", "grayscale", "blur", "flip"),
        "hue": 0.1,
        "jitter_probability": 0.8,
        "blur_probability": 0.5,
        "blur_kernel_size": 13,  # the extent of Pillow's blur at sigma 2, at any image size
        "blur_padding": "edge",
    },
    "supervised": {"size": 224, "order": ("crop", "flip"), "antialias": True},
    "plain": {"order": (), "antialias": True},
}


def preset_settings(name: str, *, strength: float = 1.0, **overrides: Any) -> views.Settings:
    """Returns the settings of a named preset of random views, with some of them overridden.

    Args:
        name: A key of PRESETS.
        strength: Factor of the preset's four color-jitter strengths, SimCLR's `s`. The hue is at
            most half a turn. Overridden strengths are not multiplied.
        **overrides: Fields of Settings.

    Returns:
        The settings.

    Raises:
        UserError: If no preset has this name.
        TypeError: If an override is not a field of Settings.
    """
    if name not in PRESETS:
        names = ", ".join(PRESETS)
        raise errors.UserError(f"unknown view preset {name!r}; choose one of {names}.")
    settings = {**views.Settings()._asdict(), **PRESETS[name]}
    for amount in ("brightness", "contrast", "saturation", "hue"):
        settings[amount] *= strength
    settings["hue"] = min(settings["hue"], 0.5)
    return views.Settings(**{**settings, **overrides})


def preset(
    name: str, *, strength: float = 1.0, **overrides: Any
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Builds the random view that a paper uses, from its preset: a function view(key, image).

    The presets of BYOL, MoCo and InstDisc normalize by the RGB statistics of ImageNet or CIFAR. For
    another number of channels, pass mean=None and std=None, or the statistics of your data.

    Args:
        name: A key of PRESETS, such as "simclr", "moco_v2" or "byol_1".
        strength: Factor of the preset's four color-jitter strengths, SimCLR's `s`. The hue is at
            most half a turn. Overridden strengths are not multiplied.
        **overrides: Fields of Settings.

    Returns:
        The function view(key, image) -> view; see `pipeline`.

    Raises:
        UserError: If no preset has this name, or a setting is invalid.
        TypeError: If an override is not a field of Settings.
    """
    return views.pipeline(**preset_settings(name, strength=strength, **overrides)._asdict())
