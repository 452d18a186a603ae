"""SimCLR on Fashion-MNIST's 60,000 training pictures: five minutes on two CPU cores.

    python -m byol_jax train --config=configs/fashion_mnist/simclr.py --workdir=runs/simclr

The data, and why the network and the views are as they are: bases.small_grey. After two epochs a
batch of 256 has 0.6 points less, and 0.8 in place of the rate as many as 0.3.
Ours: README's table, from results/simclr-*.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.small_grey()
    config.projector = {"widths": (512, 128), "hidden_bias": False, "last_bias": False}
    config.method = {"name": "simclr", "temperature": 0.2, "joint_views": False}
    config.schedule = {
        "name": "cosine",
        "learning_rate": 0.3,
        "scaling": "linear",
        "warmup_epochs": 0.2,
    }
    config.epochs = 3.0
    return config
