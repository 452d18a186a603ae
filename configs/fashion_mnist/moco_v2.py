"""MoCo v2 on the 60,000 training images of Fashion-MNIST.

    python -m byol_jax train --config=configs/fashion_mnist/moco_v2.py --workdir=runs/moco_v2

A run takes at most five minutes on two CPU cores. Data, network and views are those of
bases.small_grey, which explains their choice.

The loss is symmetric, as in the authors' CIFAR-10 demo: a step takes twice as long, and the
accuracy after as many steps is 1.5 points higher. Without a warm-up all projections collapse to one
point while the queue is still random, and do not recover within five minutes. Keys are shuffled
across eight batch-norm groups of one device.

Ours: the table in docs/results.md, from results/moco_v2-*.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.small_grey()
    config.projector = {"widths": (512, 128), "batch_norm": False, "kernel_init": "torch"}
    config.batch_norm = {"sync": False, "groups": 8}
    config.method = {
        "name": "moco",
        "capacity": 4096,
        "decay": 0.99,
        "temperature": 0.1,
        "symmetric": True,
    }
    config.schedule = {
        "name": "cosine",
        "learning_rate": 0.24,
        "scaling": "linear",
        "warmup_epochs": 0.3,
    }
    config.epochs = 2.75
    return config
