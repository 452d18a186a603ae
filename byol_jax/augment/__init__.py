"""Augmentation of one image [H, W, C] with any number of channels, float in [0, 1].

Each operation is a deterministic function, such as `augment.blur(image, sigma=…)`. It computes in
float32 and returns the dtype of the image. All but flips and center crops raise UserError
for integers, which `augment.to_float` converts. Most have a random form, such as
`augment.random_blur(key, image, …)`. `augment.preset` and `augment.pipeline` compose them into a
function view(key, image), and `augment.batched(view)` applies it to a batch. jax.vmap(view) gives
the same result, but on a CPU it also computes the operations that the keys do not draw.
"""

from byol_jax.augment.color import (
    CIFAR_MEAN,
    CIFAR_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    add_brightness,
    contrast,
    grayscale,
    hue,
    normalize,
    random_grayscale,
    random_solarize,
    saturation,
    scale_brightness,
    solarize,
    to_float,
)
from byol_jax.augment.filters import blur, random_blur
from byol_jax.augment.geometry import (
    center_crop,
    crop_and_resize,
    flip,
    height_and_width,
    patches,
    random_box,
    random_flip,
    random_resized_crop,
    resize,
)
from byol_jax.augment.jitter import random_color_jitter
from byol_jax.augment.presets import PRESETS, preset, preset_settings
from byol_jax.augment.views import Settings, batched, evaluation_view, pipeline
