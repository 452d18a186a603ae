"""BYOL on CIFAR-10, ResNet-18, 800 epochs, the recipe of lightly's benchmark.

    python -m byol_jax train --config=configs/cifar10/byol.py --workdir=runs/cifar10_byol

Published by lightly: 91.0 kNN (k=200, T=0.1), the best of all epochs.
Ours: not run yet.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.cifar10()
    view = {"size": 32, "blur_probability": 0.0}
    config.views = {
        "first": {"name": "byol_1", **view},
        "second": {"name": "byol_2", **view},
    }
    config.projector = {"widths": (1024, 256), "kernel_init": "torch"}
    config.predictor = {"widths": (1024, 256), "kernel_init": "torch"}
    config.method = {"name": "byol", "decay": 0.99, "decay_schedule": "constant"}
    config.optimizer = {"name": "sgd", "weight_decay": 5e-4, "mask": "everything"}
    config.schedule = {"name": "cosine", "learning_rate": 0.12, "scaling": "linear"}
    config.batch_size = 512
    config.epochs = 800
    return config
