"""Instance discrimination, ResNet-50, 200 epochs (Wu et al. 2018, arXiv 1805.01978).

    python -m byol_jax train --config=configs/imagenet/instdisc.py --workdir=runs/imagenet_instdisc

Published: 46.8 kNN (README of the code), 54.0 linear.
Ours: not run yet.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.imagenet()
    config.views = {"first": {"name": "instdisc"}}
    config.encoder = {"name": "resnet50"}
    config.projector = {"widths": (128,), "kernel_init": "torch"}
    config.batch_norm = {"sync": False, "groups": 1, "unbiased": True}
    config.method = {"name": "instdisc", "num_negatives": 4096, "decay": 0.5, "temperature": 0.07}
    config.optimizer = {"name": "sgd", "weight_decay": 1e-4, "mask": "everything"}
    config.schedule = {
        "name": "steps",
        "learning_rate": 0.03,
        "scaling": "linear",
        "epochs": (120, 160),
    }
    config.epochs = 200
    config.evaluate.on = "projections"
    config.evaluate.options.knn = {"k": 200, "temperature": 0.07}
    return config
