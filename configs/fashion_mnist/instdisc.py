"""Instance discrimination on Fashion-MNIST's 60,000 training pictures, by the exact softmax.

    python -m byol_jax train --config=configs/fashion_mnist/instdisc.py --workdir=runs/instdisc

The data: fields.small_grey says how to prepare it.

Ours, test accuracy of projections, seed 0, 15.8 minutes on one CPU core, commit 5daaa82:

               kNN (k=20, T=0.1)   linear
    learned         75.42           79.45
    untrained       57.25           59.20
    raw pixels      84.47           84.72
"""

from byol_jax import config as fields


def get_config():
    """The experiment."""
    config = fields.small_grey()
    config.views = {"first": config.views.first}
    config.projector = {"widths": (64,), "kernel_init": "torch"}
    config.method = {"name": "instdisc", "num_negatives": 0, "temperature": 0.1}
    config.evaluate.on = "projections"
    config.schedule = {
        "name": "cosine",
        "learning_rate": 0.06,
        "scaling": "linear",
        "warmup_epochs": 0,
    }
    config.epochs = 10
    return config
