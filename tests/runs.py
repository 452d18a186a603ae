"""Small experiments for tests: some steps of any method, on some pictures of 8 x 8."""

from byol_jax import config as fields

VIEW = {"name": "supervised", "size": 8, "mean": None, "std": None}
METHODS = {
    "byol": {"decay": 0.9},
    "simclr": {},
    "moco": {"capacity": 24, "decay": 0.9},
    "mocov3": {"decay": 0.9},
    "raft": {"decay": 0.9},
    "instdisc": {"num_negatives": 8},
    "instdisc exact": {"name": "instdisc", "num_negatives": 0},
    "supervised": {},
    "cpc": {"patch_size": 4, "patch_stride": 2, "offsets": (1, 2)},
}


def small(kind):
    """Six steps of one of METHODS on 48 pictures; the rest is as config.default() has it."""
    config = fields.default()
    config.data.train_split, config.data.test_split = "train[:48]", "test[:40]"
    config.views = {"first": dict(VIEW), "second": dict(VIEW)}
    config.encoder = {"name": "resnet_tiny"}
    config.projector = {"widths": (12, 10)}
    if kind in ("byol", "mocov3", "raft"):
        config.predictor = {"widths": (12, 10)}
    if kind == "cpc":
        config.projector, config.context = {}, {"width": 10}
    config.method = {"name": kind, **METHODS[kind]}
    config.batch_size, config.epochs = 16, 2
    return config


def config_of(**changes):
    """MoCo, which leaves the checkpoints of steps 2, 4 and 6, and is evaluated by kNN."""
    config = small("moco")
    for view in config.views.values():
        view.update({"mean": (0.3,), "std": (0.2,)})
    config.log_every_steps, config.checkpoint_every_steps, config.keep_checkpoints = 1, 2, 3
    config.evaluate.protocols, config.evaluate.baselines = ("knn",), ()
    config.report = False
    config.update(changes)
    return config
