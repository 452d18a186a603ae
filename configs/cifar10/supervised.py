"""The supervised baseline on CIFAR-10, ResNet-18, 200 epochs.

    python -m byol_jax train --config=configs/cifar10/supervised.py --workdir=runs/cifar_supervised

We know of no published number for exactly this recipe.
Ours: not run yet.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.cifar10()
    config.views = {"first": {"name": "supervised", "size": 32}}
    config.projector = {"widths": (10,)}
    config.method = {"name": "supervised"}
    config.optimizer = {"name": "sgd", "weight_decay": 5e-4, "mask": "everything"}
    config.schedule = {"name": "cosine", "learning_rate": 0.1, "scaling": "linear"}
    config.epochs = 200
    return config
