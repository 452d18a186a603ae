"""CPC with 36 patches per image on the 60,000 training images of Fashion-MNIST.

    python -m byol_jax train --config=configs/fashion_mnist/cpc.py --workdir=runs/cpc

A run takes at most five minutes on two CPU cores. Data, network and views are those of
bases.small_grey, which explains their choice.

Patches have 8 pixels and a stride of 4, so that neighboring rows overlap by half; the nearest
predicted row is therefore the second one below. Bottleneck blocks with 256 features reach 80.9 by a
linear classifier, basic blocks with 96 features 78.8, and four times the learning rate 82.4 (seed
0; the 78.8 with two threads, the others with one).

Evaluated on the mean over patches.
Ours: the table in docs/results.md, from results/cpc-*.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.small_grey()
    config.views = {"first": config.views.first}
    config.encoder = {
        "name": "resnet",
        "stages": (1, 1),
        "bottleneck": True,
        "widths": (16, 64),
        "stem": "strided",
        "stem_width": 24,
    }
    config.batch_norm = {"kind": "layer"}
    config.context = {"width": 96, "layers": 3}
    config.method = {"name": "cpc", "patch_size": 8, "patch_stride": 4, "offsets": (2, 3, 4)}
    config.optimizer = {"name": "adamw", "weight_decay": 1e-4}
    config.schedule = {
        "name": "cosine",
        "learning_rate": 4e-3,
        "scaling": "none",
        "warmup_epochs": 0.2,
    }
    config.evaluate.on = "patches"
    config.batch_size = 64
    config.epochs = 0.65
    return config
