"""SimCLR on color icons of 32 pixels, for the study of augmentation pairs.

    python launch/studies/icons.py
    python -m byol_jax train --config=configs/icons/simclr.py --workdir=runs/icons

launch/studies/augmentation_pairs.py replaces the operations of the views by one pair after the
other. The probability of each operation is high enough that it matters on its own, which makes
pairs comparable. For the best accuracy, gray and solarized views should be rarer. The network is
that of bases.small_grey.

Published: SimCLR, figure 5, shows the pairs on ImageNet.
Ours: pairs.json and pairs.svg in this folder.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.small_grey()
    config.data.name = "data/icons"
    config.data.image_size = 32
    for view in config.views.values():
        view.size = 32
        view.order = ("crop", "flip", "jitter", "grayscale", "blur", "solarize")
        view.area = (0.2, 1.0)
        view.saturation = 0.4
        view.hue = 0.1
        view.grayscale_probability = 0.5
        view.blur_probability = 0.5
        view.blur_kernel_size = 5
        view.solarize_probability = 0.5
    config.projector = {"widths": (512, 128), "hidden_bias": False, "last_bias": False}
    config.method = {"name": "simclr", "temperature": 0.2, "joint_views": False}
    config.schedule = {
        "name": "cosine",
        "learning_rate": 0.3,
        "scaling": "linear",
        "warmup_epochs": 1.0,
    }
    config.epochs = 15
    config.evaluate.baselines = ("raw pixels",)
    return config
