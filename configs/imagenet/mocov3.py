"""MoCo v3, ResNet-50, 100 epochs (Chen, Xie and He 2021, arXiv 2104.02057).

    python -m byol_jax train --config=configs/imagenet/mocov3.py --workdir=runs/imagenet_mocov3

Published: 68.9 top-1, linear; 72.8 after 300 epochs with learning_rate 0.3 and weight_decay
1.5e-6; 74.6 after 1000 epochs with these settings and decay 0.996.
Ours: not run yet.
"""

from byol_jax.config import bases


def get_config():
    """The experiment."""
    config = bases.imagenet()
    view = {"name": "moco_v2", "saturation": 0.2}
    order = ("crop", "jitter", "grayscale", "blur", "solarize", "flip")
    second = {"order": order, "blur_probability": 0.1, "solarize_probability": 0.2}
    config.views = {"first": {**view, "blur_probability": 1.0}, "second": {**view, **second}}
    config.encoder = {"name": "resnet50", "zero_last_scale": True}
    head = {"hidden_bias": False, "last_bias": False, "kernel_init": "torch"}
    config.projector = {"widths": (4096, 256), "last_norm": "plain", **head}
    config.predictor = {"widths": (4096, 256), **head}
    config.method = {"name": "mocov3", "decay": 0.99, "temperature": 1.0}
    config.optimizer = {"name": "lars", "weight_decay": 1e-6}
    config.schedule = {
        "name": "cosine",
        "learning_rate": 0.6,
        "scaling": "linear",
        "warmup_epochs": 10.0,
    }
    config.batch_size = 4096
    config.epochs = 100
    return config
