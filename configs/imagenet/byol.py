"""BYOL, ResNet-50, 1000 epochs (Grill et al. 2020, arXiv 2006.07733).

    python -m byol_jax train --config=configs/imagenet/byol.py --workdir=runs/imagenet_byol

Published: 74.3 top-1, linear; 72.5 after 300 epochs with learning_rate 0.3, weight_decay 1e-6
and decay 0.99.
Ours: not run yet.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.imagenet()
    config.views = {"first": {"name": "byol_1"}, "second": {"name": "byol_2"}}
    config.encoder = {"name": "resnet50", "padding": "same", "zero_last_scale": True}
    config.projector = {"widths": (4096, 256), "last_bias": False}
    config.predictor = {"widths": (4096, 256), "last_bias": False}
    config.method = {"name": "byol", "decay": 0.996, "separate_target": True}
    config.optimizer = {"name": "lars", "weight_decay": 1.5e-6}
    config.schedule = {
        "name": "cosine",
        "learning_rate": 0.2,
        "scaling": "linear",
        "warmup_epochs": 10.0,
    }
    config.batch_size = 4096
    config.epochs = 1000
    return config
