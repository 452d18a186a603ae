"""The random views of the papers, as their authors' code makes them.

Where Pillow resized (InstDisc, MoCo) antialias is on, since Pillow always averages where an image
shrinks; TensorFlow's bicubic (BYOL, SimCLR) does not. TensorFlow scales saturation in HSV and takes
contrast about each channel's mean; torchvision blends with the grayscale image, and its mean.
"""

from collections.abc import Callable

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

# Grill et al. 2020, section 3.1 and appendix B; one attempt per crop is their code's.
_BYOL = {"size": 224, "crop_attempts": 1, "method": "bicubic", **_IMAGENET}

# Chen et al. 2020, appendix A, as the second version of their code has it: brightness multiplies.
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

# Wu et al. 2018; He et al. 2020 use the same.
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
        "blur_kernel_size": 13,  # what Pillow's blur reaches at sigma 2, at any image size
        "blur_padding": "edge",
    },
    "supervised": {"size": 224, "order": ("crop", "flip"), "antialias": True},
    "plain": {"order": (), "antialias": True},
}


def preset_settings(name: str, *, strength: float = 1.0, **overrides) -> views.Settings:
    """The settings of a preset, some of them overridden; the arguments and errors are preset's."""
    if name not in PRESETS:
        raise errors.UserError(f"there is no view preset {name!r}; there are {', '.join(PRESETS)}.")
    settings = {**views.Settings()._asdict(), **PRESETS[name]}
    for amount in ("brightness", "contrast", "saturation", "hue"):
        settings[amount] *= strength
    settings["hue"] = min(settings["hue"], 0.5)
    return views.Settings(**{**settings, **overrides})


def preset(
    name: str, *, strength: float = 1.0, **overrides
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The function view(key, image) of a preset, some of its settings overridden; see pipeline.

    strength multiplies the four amounts of color jitter, SimCLR's `s` (hue to half a turn at most);
    it leaves alone the amounts that are overridden. One-channel data want mean=None, std=None, or
    their own, where the preset normalizes by ImageNet's (BYOL, MoCo, InstDisc).

    Raises ValueError for an unknown name, TypeError for an unknown setting.
    """
    return views.pipeline(**preset_settings(name, strength=strength, **overrides)._asdict())
