"""Small experiments for tests: a few steps of any method on images of 8 x 8 pixels."""

import inspect

from byol_jax import methods
from byol_jax.config import check, fields
from byol_jax.training import start

VIEW = {"name": "supervised", "size": 8, "mean": None, "std": None}
METHODS = {  # tests of all methods use this table
    "byol": {"decay": 0.9},
    "simclr": {"temperature": 0.5},
    "moco": {"capacity": 24, "decay": 0.9},
    "moco symmetric": {"name": "moco", "capacity": 40, "decay": 0.9, "symmetric": True},
    "mocov3": {"decay": 0.9},
    "raft": {"decay": 0.9, "away_weight": 0.1},
    "instdisc": {"num_negatives": 6, "temperature": 0.5},
    "instdisc exact": {"name": "instdisc", "num_negatives": 0, "temperature": 0.5},
    "supervised": {},
    "cpc": {"patch_size": 4, "patch_stride": 2, "offsets": (1, 2)},
}


def factory(kind):
    """Returns the factory of an entry of METHODS."""
    return methods.METHODS[METHODS[kind].get("name", kind)]


def takes(kind, argument):
    """Returns True if the factory of an entry of METHODS has an argument of this name."""
    return argument in inspect.signature(factory(kind)).parameters


def method(kind, nets, **supplied):
    """Builds an entry of METHODS from those networks and arguments that its factory takes."""
    arguments = {**METHODS[kind], **nets, **supplied}
    return factory(kind)(**{name: x for name, x in arguments.items() if takes(kind, name)})


def small(kind):
    """Returns a config for six steps of an entry of METHODS on 48 images.

    All other fields have the values of fields.default().
    """
    config = fields.default()
    config.data.train_split = "train[:48]"
    config.data.test_split = "test[:40]"
    config.views = {"first": dict(VIEW), "second": dict(VIEW)}
    config.encoder = {"name": "resnet_tiny"}
    if takes(kind, "projector"):
        config.projector = {"widths": (12, 10)}
    if takes(kind, "predictor"):
        config.predictor = {"widths": (12, 10)}
    if takes(kind, "context"):
        config.context = {"width": 10}
    config.method = {"name": kind, **METHODS[kind]}
    config.batch_size = 16
    config.epochs = 2
    return config


def config_of(**changes):
    """Returns a config of MoCo that keeps checkpoints of steps 2, 4 and 6 and evaluates by kNN."""
    config = small("moco")
    for view in config.views.values():
        view.update({"mean": (0.3,), "std": (0.2,)})
    config.log_every_steps = 1
    config.checkpoint_every_steps = 2
    config.keep_checkpoints = 3
    config.evaluate.protocols = ("knn",)
    config.evaluate.baselines = ()
    config.report = False
    config.update(changes)
    return config


def prepare(config, folder, **options):
    """Checks and prepares an experiment in the same way as `train`."""
    check.check(config)
    return start.prepare(config, folder, **options)
