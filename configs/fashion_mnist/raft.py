"""RAFT on Fashion-MNIST's 60,000 training pictures: five minutes on two CPU cores.

    python -m byol_jax train --config=configs/fashion_mnist/raft.py --workdir=runs/raft

The data, and why the network and the views are as they are: bases.small_grey.
Ours: README's table, from results/raft-*.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.small_grey()
    config.projector = {"widths": (512, 128), "last_bias": False}
    config.predictor = {"widths": (512, 128), "last_bias": False}
    config.method = {"name": "raft", "decay": 0.97}
    config.schedule = {
        "name": "cosine",
        "learning_rate": 0.8,
        "scaling": "linear",
        "warmup_epochs": 0.2,
    }
    config.epochs = 2.75
    return config
