"""CPC, ResNet-101 up to its third stage (van den Oord et al. 2018, arXiv 1807.03748).

    python -m byol_jax train --config=configs/imagenet/cpc.py --workdir=runs/imagenet_cpc

Published: 48.7 top-1, linear, on the mean of 7 x 7 patches.
The paper uses a ResNet-v2 without normalization; this config uses version 1 with layer
normalization. The paper removes a random border of 4 pixels from each patch; this config does not.
The paper does not state the number of epochs. Images are loaded as squares of 300 pixels, from
which the views are cropped.
Ours: not run yet.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.imagenet()
    config.data.image_size = 300
    config.data.crops = "device"
    config.evaluate.view = {"size": 256}
    config.evaluate.on = "patches"
    config.views = {
        "first": {
            "name": "plain",
            "order": ("crop", "flip", "grayscale"),
            "size": 256,
            "area": (0.728, 0.728),  # 256 x 256 of 300 x 300
            "ratio": (1.0, 1.0),
            "flip_probability": 0.5,
            "grayscale_probability": 1.0,
        }
    }
    config.encoder = {
        "name": "resnet",
        "stages": (3, 4, 23),
        "widths": (64, 128, 256),
        "bottleneck": True,
    }
    config.batch_norm = {"kind": "layer"}
    config.context = {"width": 1024, "layers": 6}
    config.method = {"name": "cpc", "patch_size": 64, "patch_stride": 32}
    config.optimizer = {"name": "adamw", "weight_decay": 0.0}
    config.schedule = {"name": "constant", "learning_rate": 2e-4, "scaling": "none"}
    config.batch_size = 512
    config.epochs = 200
    return config
