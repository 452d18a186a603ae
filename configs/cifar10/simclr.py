"""SimCLR on CIFAR-10, ResNet-18, 1000 epochs, the command of the authors' README.

    python -m byol_jax train --config=configs/cifar10/simclr.py --workdir=runs/cifar10_simclr

Published: "around 91" top-1, linear.
Ours: not run yet.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.cifar10()
    config.encoder = {"name": "resnet18", "stem": "cifar", "zero_last_scale": True}
    config.views = {"first": {"name": "simclr_cifar"}, "second": {"name": "simclr_cifar"}}
    config.projector = {
        "widths": (512, 512, 128),
        "hidden_bias": False,
        "last_bias": False,
        "last_norm": "scale",
        "kernel_init": 0.01,
    }
    config.method = {"name": "simclr", "temperature": 0.5, "sum_directions": True}
    config.optimizer = {"name": "lars", "weight_decay": 1e-4, "lr_in_momentum": True}
    config.schedule = {
        "name": "cosine",
        "learning_rate": 1.0,
        "scaling": "linear",
        "warmup_epochs": 10.0,
    }
    config.batch_size = 512
    config.epochs = 1000
    return config
