"""Instance discrimination on CIFAR-10, ResNet-18, 200 epochs, the command of the authors' README.

    python -m byol_jax train --config=configs/cifar10/instdisc.py --workdir=runs/cifar10_instdisc

Published: 80.8 kNN (k=200), with the exact softmax.
Ours: not run yet.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.cifar10()
    config.views = {"first": {"name": "instdisc_cifar"}}
    config.projector = {"widths": (128,), "kernel_init": "torch"}
    config.method = {"name": "instdisc", "num_negatives": 0, "temperature": 0.1}
    config.optimizer = {"name": "sgd", "weight_decay": 5e-4, "mask": "everything"}
    config.schedule = {
        "name": "steps",
        "learning_rate": 0.03,
        "scaling": "none",
        "epochs": (120, 160),
    }
    config.batch_size = 128
    config.epochs = 200
    config.evaluate.on = "projections"
    return config
