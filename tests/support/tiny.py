"""A config file for tests that start the command: MoCo on 48 small images, 3 steps per epoch.

A step takes milliseconds. Every step is logged, and every third step is saved.
"""

from byol_jax.config import fields


def get_config():
    """Returns the experiment's config."""
    config = fields.default()
    config.data.train_split = "train[:48]"
    view = {"name": "plain", "order": ("crop", "flip"), "size": 8, "mean": (0.3,), "std": (0.2,)}
    config.views = {"first": view, "second": dict(view)}
    config.encoder = {"name": "resnet_tiny"}
    config.projector = {"widths": (32, 10), "batch_norm": True, "last_bias": False}
    config.method = {"name": "moco", "capacity": 24, "decay": 0.9}
    config.batch_size = 16
    config.epochs = 2.0
    config.log_every_steps = 1
    config.checkpoint_every_steps = 3
    config.keep_checkpoints = 2
    config.evaluate.protocols = ()
    config.report = False
    return config
