"""SimCLR, ResNet-50, 100 epochs (Chen et al. 2020, arXiv 2002.05709), the command of their README.

    python -m byol_jax train --config=configs/imagenet/simclr.py --workdir=runs/imagenet_simclr

Published: 64.5 top-1, linear; 69.3 after 1000 epochs in the paper.
Ours: not run yet.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.imagenet()
    config.views = {"first": {"name": "simclr"}, "second": {"name": "simclr"}}
    config.encoder = {"name": "resnet50", "padding": "fixed", "zero_last_scale": True}
    config.projector = {
        "widths": (2048, 2048, 128),
        "hidden_bias": False,
        "last_bias": False,
        "last_norm": "scale",
        "kernel_init": 0.01,
    }
    config.method = {"name": "simclr", "temperature": 0.1, "sum_directions": True}
    config.optimizer = {"name": "lars", "weight_decay": 1e-4, "lr_in_momentum": True}
    config.schedule = {
        "name": "cosine",
        "learning_rate": 0.3,
        "scaling": "linear",
        "warmup_epochs": 10.0,
    }
    config.batch_size = 4096
    config.epochs = 100
    return config
