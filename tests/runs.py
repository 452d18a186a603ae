"""A small experiment for tests of what is made of one."""

from byol_jax import config as fields


def config_of(**changes):
    """MoCo on 48 pictures in six steps, which leaves the checkpoints of steps 2, 4 and 6."""
    config = fields.default()
    config.data.train_split, config.data.test_split = "train[:48]", "test[:40]"
    view = {"name": "supervised", "size": 8, "mean": (0.3,), "std": (0.2,)}
    config.views = {"first": view, "second": view}
    config.encoder = {"name": "resnet_tiny"}
    config.projector = {"widths": (12, 10)}
    config.method = {"name": "moco", "capacity": 24, "decay": 0.9}
    config.batch_size, config.epochs = 16, 2
    config.log_every_steps, config.checkpoint_every_steps, config.keep_checkpoints = 1, 2, 3
    config.evaluate.protocols, config.evaluate.baselines = ("knn",), ()
    config.report = False
    config.update(changes)
    return config
