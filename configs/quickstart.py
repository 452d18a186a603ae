"""BYOL on the 10,000 pictures inside the package, in minutes on two CPU cores.

    python -m byol_jax train --config=configs/quickstart.py --workdir=runs/quickstart

The network and the views: fields.small_grey. Milder crops and no flips, since pictures are few and the
shoes here all point left.
Ours: README's table, from fashion_mnist/results/quickstart-*. The same seed on another number of
threads sums in another order and ends some tenths elsewhere.
"""

from byol_jax import config as fields


def get_config():
    """The experiment."""
    config = fields.small_grey()
    config.data.name = "fashion_mnist_10k"
    for view in config.views.values():
        view.area = (0.4, 1.0)
        view.flip_probability = 0.0
    config.projector = {"widths": (512, 128), "last_bias": False}
    config.predictor = {"widths": (512, 128), "last_bias": False}
    config.method = {"name": "byol", "decay": 0.8}
    config.schedule = {
        "name": "cosine",
        "learning_rate": 0.8,
        "scaling": "linear",
        "warmup_epochs": 1,
    }
    config.epochs = 12
    config.log_every_steps = 39
    return config
