"""The supervised baseline, ResNet-50, 90 epochs.

    python -m byol_jax train --config=configs/imagenet/supervised.py --workdir=runs/supervised

Published: about 76 top-1 for this recipe.
Ours: not run yet.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.imagenet()
    config.views = {"first": {"name": "supervised", "size": 224}}
    config.encoder = {"name": "resnet50"}
    config.projector = {"widths": (1000,)}
    config.method = {"name": "supervised"}
    config.optimizer = {"name": "sgd", "weight_decay": 1e-4, "mask": "everything"}
    config.schedule = {
        "name": "steps",
        "learning_rate": 0.1,
        "scaling": "linear",
        "epochs": (30, 60, 80),
    }
    config.epochs = 90
    return config
