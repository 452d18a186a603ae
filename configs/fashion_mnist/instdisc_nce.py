"""Instance discrimination with NCE on the 60,000 training images of Fashion-MNIST.

    python -m byol_jax train --config=configs/fashion_mnist/instdisc_nce.py --workdir=runs/nce

A run takes at most five minutes on two CPU cores. Data, network and views are those of
bases.small_grey, which explains their choice.

Each example has 512 noise draws; the paper's 4,096 take three times as long. The other settings are
those of instdisc.py.

Ours: the table in docs/results.md, from results/instdisc_nce-*.
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
