"""The supervised baseline on Fashion-MNIST's 60,000 training pictures: five minutes on two CPU cores.

    python -m byol_jax train --config=configs/fashion_mnist/supervised.py --workdir=runs/supervised

The data, and why the network and the views are as they are: bases.small_grey.
Ours: README's table, from results/supervised-*.
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
