"""The supervised baseline on the 60,000 training images of Fashion-MNIST.

    python -m byol_jax train --config=configs/fashion_mnist/supervised.py --workdir=runs/supervised

A run takes at most five minutes on two CPU cores. Data, network and views are those of
bases.small_grey, which explains their choice.
Ours: the table in docs/results.md, from results/supervised-*.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.small_grey()
    config.views = {"first": config.views.first}
    config.projector = {"widths": (10,)}
    config.method = {"name": "supervised"}
    config.schedule = {
        "name": "cosine",
        "learning_rate": 0.2,
        "scaling": "linear",
        "warmup_epochs": 0.0,
    }
    config.epochs = 5.0
    return config
