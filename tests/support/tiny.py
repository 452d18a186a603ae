"""A config file for tests that start the command: MoCo on 48 pictures of 8 pixels, 3 steps an epoch.

Its steps take milliseconds, every one is logged, and every third is saved.
"""

from byol_jax.config import fields


def get_config():
    """The experiment."""
    config = fields.default()
    config.data.train_split = "train[:48]"
    view = {"name": "plain", "order": ("crop", "flip"), "size": 8, "mean": (0.3,), "std": (0.2,)}
    config.views = {"first": view, "second": dict(view)}
    config.encoder = {"name": "resnet_tiny"}
    config.projector = {"widths": (32, 10), "batch_norm": True, "last_bias": False}
    config.method = {"name": "moco", "capacity": 24, "decay": 0.9}
    config.batch_size, config.epochs = 16, 2.0
    config.log_every_steps, config.checkpoint_every_steps, config.keep_checkpoints = 1, 3, 2
    config.evaluate.protocols, config.report = (), False
    return config
