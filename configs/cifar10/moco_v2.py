"""MoCo v2 on CIFAR-10, ResNet-18, 800 epochs, after lightly's benchmark.

    python -m byol_jax train --config=configs/cifar10/moco_v2.py --workdir=runs/cifar10_moco_v2

Published by lightly: 89.9 kNN (k=200, T=0.1), the best of all epochs. Its loss is symmetric; this
config computes queries from one view only.
Ours: not run yet.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.cifar10()
    view = {"name": "moco_v2", "size": 32, "blur_probability": 0.0}
    config.views = {"first": view, "second": dict(view)}
    config.projector = {"widths": (512, 128), "batch_norm": False, "kernel_init": "torch"}
    config.batch_norm = {"sync": False, "groups": 8, "unbiased": True}
    config.method = {"name": "moco", "capacity": 8192, "decay": 0.99, "temperature": 0.1}
    config.optimizer = {"name": "sgd", "weight_decay": 5e-4, "mask": "everything"}
    config.schedule = {"name": "cosine", "learning_rate": 0.12, "scaling": "linear"}
    config.batch_size = 512
    config.epochs = 800
    return config
