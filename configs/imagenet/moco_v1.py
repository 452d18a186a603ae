"""MoCo v1, ResNet-50, 200 epochs (He et al. 2020, arXiv 1911.05722).

    python -m byol_jax train --config=configs/imagenet/moco_v1.py --workdir=runs/imagenet_moco_v1

Published: 60.6 top-1, linear.
Batch norm is computed per device, as in the paper with 8 devices of 32 images each. On one
device, set batch_norm.groups to 8.
Ours: not run yet.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.imagenet()
    config.views = {"first": {"name": "moco_v1"}, "second": {"name": "moco_v1"}}
    config.encoder = {"name": "resnet50"}
    config.projector = {"widths": (128,), "batch_norm": False, "kernel_init": "torch"}
    config.batch_norm = {"sync": False, "groups": 1, "unbiased": True}
    config.method = {"name": "moco", "capacity": 65536, "decay": 0.999, "temperature": 0.07}
    config.optimizer = {"name": "sgd", "weight_decay": 1e-4, "mask": "everything"}
    config.schedule = {
        "name": "steps",
        "learning_rate": 0.03,
        "scaling": "linear",
        "epochs": (120, 160),
    }
    config.epochs = 200
    return config
