"""CPC on Fashion-MNIST's 60,000 training pictures: 36 patches of 8 pixels, 4 apart.

    python -m byol_jax train --config=configs/fashion_mnist/cpc.py --workdir=runs/cpc

The data: fields.small_grey says how to prepare it. Neighbouring rows of patches overlap by half,
so that the nearest row to predict is the second below.

Ours, test accuracy of the mean over patches, seed 0, 51 minutes on a shared CPU core, commit 3a96aa1:

               kNN (k=20, T=0.1)   linear
    learned         79.06           81.30
    untrained       63.21           71.64
    raw pixels      84.47           84.72
"""

from byol_jax import config as fields


def get_config():
    """The experiment."""
    config = fields.small_grey()
    config.views = {"first": config.views.first}
    config.encoder = {
        "name": "resnet",
        "stages": (1, 1),
        "widths": (32, 96),
        "stem": "strided",
        "stem_width": 32,
        "zero_last_scale": True,
    }
    config.batch_norm = {"kind": "layer"}
    config.context = {"width": 96, "layers": 3}
    config.method = {"name": "cpc", "patch_size": 8, "patch_stride": 4, "offsets": (2, 3, 4)}
    config.optimizer = {"name": "adamw", "weight_decay": 1e-4}
    config.schedule = {
        "name": "cosine",
        "learning_rate": 1e-3,
        "scaling": "none",
        "warmup_epochs": 0.2,
    }
    config.evaluate.on = "patches"
    config.batch_size = 64
    config.epochs = 5
    return config
