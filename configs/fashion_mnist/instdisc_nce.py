"""Instance discrimination on Fashion-MNIST's 60,000 training pictures: five minutes on two CPU cores.

    python -m byol_jax train --config=configs/fashion_mnist/instdisc_nce.py --workdir=runs/instdisc_nce

The data, and why the network and the views are as they are: bases.small_grey. By noise
contrastive estimation with 512 draws: 4,096 as in the paper take three times as long. The rest is as
in instdisc.py.
Ours: README's table, from results/instdisc_nce-*.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.small_grey()
    config.views = {"first": config.views.first}
    config.projector = {"widths": (64,), "last_bias": False, "last_norm": "plain"}
    config.method = {"name": "instdisc", "num_negatives": 512, "temperature": 0.2}
    config.schedule = {
        "name": "cosine",
        "learning_rate": 0.3,
        "scaling": "linear",
        "warmup_epochs": 1.0,
    }
    config.epochs = 4.0
    return config
