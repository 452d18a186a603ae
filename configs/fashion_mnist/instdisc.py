"""Instance discrimination on Fashion-MNIST's 60,000 training pictures: five minutes on two CPU cores.

    python -m byol_jax train --config=configs/fashion_mnist/instdisc.py --workdir=runs/instdisc

The data, and why the network and the views are as they are: fields.small_grey. By the exact
softmax over all of them.
Ours: README's table, from results/instdisc-*.
"""

from byol_jax import config as fields


def get_config():
    """The experiment."""
    config = fields.small_grey()
    config.views = {"first": config.views.first}
    config.projector = {"widths": (64,), "kernel_init": "torch"}
    config.method = {"name": "instdisc", "num_negatives": 0, "temperature": 0.1}
    config.schedule = {
        "name": "cosine",
        "learning_rate": 0.06,
        "scaling": "linear",
        "warmup_epochs": 0.0,
    }
    config.epochs = 4.0
    return config
