"""SimCLR on icons in colour, 32 pixels: what the pairs of augmentations are tried on.

    python launch/icons.py
    python -m byol_jax train --config=configs/icons/simclr.py --workdir=runs/icons

`launch/augmentation_pairs.py` replaces the order of the views by each pair in turn. Every operation
has a probability at which it matters alone, so that pairs compare; for the best accuracy gray and
solarized views should be rarer.

Published: SimCLR, figure 5, has the pairs on ImageNet. Ours: pairs.json and pairs.svg beside this file.
"""

from byol_jax import config as fields


def get_config():
    """The experiment."""
    config = fields.default()
    config.data.name = "data/icons"
    config.data.image_size = 32
    view = {
        "name": "plain",
        "order": ("crop", "flip", "jitter", "grayscale", "blur", "solarize"),
        "size": 32,
        "area": (0.2, 1.0),
        "jitter_probability": 0.8,
        "brightness": 0.4,
        "contrast": 0.4,
        "saturation": 0.4,
        "hue": 0.1,
        "grayscale_probability": 0.5,
        "blur_probability": 0.5,
        "blur_kernel_size": 5,
        "solarize_probability": 0.5,
    }
    config.views = {"first": view, "second": dict(view)}
    config.encoder = {
        "name": "resnet",
        "stages": (1, 1, 1),
        "widths": (24, 48, 192),
        "stem": "strided",
        "stem_width": 24,
    }
    config.projector = {"widths": (256, 64), "hidden_bias": False, "last_bias": False}
    config.method = {"name": "simclr", "temperature": 0.2}
    config.optimizer = {"name": "sgd", "weight_decay": 4e-4, "mask": "kernels"}
    config.schedule = {"name": "cosine", "learning_rate": 0.3, "warmup_epochs": 1}
    config.batch_size = 256
    config.epochs = 40
    config.evaluate.baselines = ("raw pixels",)
    return config
