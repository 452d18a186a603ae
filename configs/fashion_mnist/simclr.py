"""SimCLR on the 60,000 training images of Fashion-MNIST.

    python -m byol_jax train --config=configs/fashion_mnist/simclr.py --workdir=runs/simclr

A run takes at most five minutes on two CPU cores. Data, network and views are those of
bases.small_grey, which explains their choice.

After two epochs, a batch of 256 loses 0.6 points, and a learning rate of 0.8 reaches the same
accuracy as 0.3.

Ours: the table in docs/results.md, from results/simclr-*.
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
