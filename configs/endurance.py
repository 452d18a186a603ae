"""20,000 short steps, to measure whether the memory of a long run grows. Not a recipe for features.

    python -m byol_jax train --config=configs/endurance.py --workdir=runs/endurance
    python -m byol_jax compare runs/endurance --picture=configs/endurance.svg --metric=host_gib

Ours, two shared CPU cores, commit 493b0c7: 0.797 GiB of resident memory at step 1,000, 0.812 at
step 10,000 and 0.816 at step 20,000, an increase of 2.4 %. The second command draws endurance.svg.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.small_grey()
    config.data.name = "fashion_mnist_10k"
    for view in config.views.values():
        view.size = 8
    config.encoder = {"name": "resnet_tiny"}
    config.projector = {"widths": (16, 8)}
    config.method = {"name": "moco", "capacity": 1024, "decay": 0.99}
    config.batch_size = 32
    config.schedule = {"name": "constant", "learning_rate": 0.03, "scaling": "linear"}
    config.epochs = 20_000 / (10_000 // 32)
    config.log_every_steps, config.checkpoint_every_steps = 100, 500
    config.evaluate.protocols, config.evaluate.baselines = ("knn",), ()
    config.report = False
    return config
