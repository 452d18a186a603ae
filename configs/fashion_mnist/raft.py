"""RAFT on the 60,000 training images of Fashion-MNIST.

    python -m byol_jax train --config=configs/fashion_mnist/raft.py --workdir=runs/raft

A run takes at most five minutes on two CPU cores. Data, network and views are those of
bases.small_grey, which explains their choice.
Ours: the table in docs/results.md, from results/raft-*.
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
