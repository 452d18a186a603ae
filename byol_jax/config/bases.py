"""What the configs of one data set share; each config file is the difference."""

from ml_collections import ConfigDict

from byol_jax.config import fields


def imagenet() -> ConfigDict:
    """What the configs of configs/imagenet share.

    The host cuts the views from the full pictures; evaluation takes 224 of 256 pixels. Networks
    compute in bfloat16.
    """
    config = fields.default()
    config.data.name = "imagenet2012"
    config.data.test_split = "validation"
    config.data.image_size = 256
    config.evaluate.view = {"size": 224, "proportion": 0.875}
    config.evaluate.baselines = ()
    config.precision = "bfloat16"
    return config


def cifar10() -> ConfigDict:
    """What the configs of configs/cifar10 share: ResNet-18 without its first pooling, kNN by 200."""
    config = fields.default()
    config.data.name = "cifar10"
    config.encoder = {"name": "resnet18", "stem": "cifar"}
    config.evaluate.options.knn = {"k": 200, "temperature": 0.1}
    return config


def small_grey() -> ConfigDict:
    """What the configs on Fashion-MNIST share, and those on icons: what learns most in minutes.

    Prepare the data once, from a folder with its four IDX files:
    python -m byol_jax prepare --source=FOLDER --out=data/fashion_mnist

    On two CPU cores operations are dear, and a linear classifier gains by wide features. So the maps
    are small from the stem on, and bottlenecks make 512 features of inner convolutions that are cheap:
    linear 86.5 after two epochs of BYOL, where 96 features of basic blocks have 85.2 after three. The
    last scale of a block starts at 1: at 0, as in long training, 1.5 points less. Of a crop's area 0.3
    is left at least (from 0.15 on 1.2 points less, from 0.5 on as much); without jitter there are 2.3
    points less, with twice of it 1.8. Batches are of 128: with 256 there are 1.8 points less, since
    the steps are fewer, with 64 as much. One seed each.
    """
    config = fields.default()
    config.data.name = "data/fashion_mnist"
    view = {
        "name": "plain",
        "order": ("crop", "flip", "jitter"),
        "size": 28,
        "area": (0.3, 1.0),
        "flip_probability": 0.5,
        "jitter_probability": 0.8,
        "brightness": 0.4,
        "contrast": 0.4,
        "hue": 0.0,  # there is none in grey
    }
    config.views = {"first": view, "second": dict(view)}
    config.encoder = {
        "name": "resnet",
        "stages": (1, 1, 1),
        "bottleneck": True,
        "widths": (8, 24, 128),
        "stem": "strided",
        "stem_width": 24,
    }
    config.optimizer = {"name": "sgd", "weight_decay": 4e-4, "mask": "kernels"}
    config.batch_size = 128
    return config


def collapse() -> ConfigDict:
    """What the configs of configs/collapse share: BYOL on the embedded data, at one set of rates.

    Each of them takes one part away (Grill et al. 2020, table 5).
    """
    config = small_grey()
    config.data.name = "fashion_mnist_10k"
    config.encoder = {
        "name": "resnet",
        "stages": (1, 1, 1),
        "widths": (24, 48, 96),
        "stem": "strided",
        "stem_width": 24,
        "zero_last_scale": True,
    }
    config.projector = {"widths": (256, 64), "last_bias": False}
    config.predictor = {"widths": (256, 64), "last_bias": False}
    config.method = {"name": "byol", "decay": 0.9}
    rate = {"learning_rate": 0.8, "scaling": "linear", "warmup_epochs": 1.0}
    config.schedule = {"name": "cosine", **rate}
    config.epochs = 10
    config.log_every_steps = 13
    config.evaluate.baselines = ()
    return config
