"""BYOL on the 10,000 pictures inside the package, in minutes on two CPU cores.

    python -m byol_jax train --config=configs/quickstart.py --workdir=runs/quickstart

Not run yet.
"""

from byol_jax import config as fields


def get_config():
    """The experiment."""
    config = fields.default()
    view = {
        "name": "byol_1",
        "size": 28,
        "area": (0.2, 1.0),
        "blur_probability": 0.0,
        "mean": None,
        "std": None,
    }
    config.views = {"first": view, "second": view}
    config.encoder = {
        "name": "resnet",
        "stages": (1, 1, 1),
        "widths": (32, 64, 128),
        "stem_width": 32,
        "zero_last_scale": True,
    }
    config.projector = {"widths": (256, 64), "last_bias": False}
    config.predictor = {"widths": (256, 64), "last_bias": False}
    config.method = {"name": "byol", "decay": 0.97}
    config.schedule = {
        "name": "cosine",
        "learning_rate": 0.2,
        "scaling": "linear",
        "warmup_epochs": 1,
    }
    config.batch_size = 128
    config.epochs = 10
    return config
