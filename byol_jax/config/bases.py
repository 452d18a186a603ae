"""One base config per data set; the files in configs/ start from these and change some fields."""

from ml_collections import ConfigDict

from byol_jax.config import fields


def imagenet() -> ConfigDict:
    """Creates the base config for ImageNet, which the files in configs/imagenet modify.

    The host cuts the views from the full images. Evaluation resizes images to 256 pixels and crops
    the central 224. Networks compute in bfloat16.

    Returns:
        The config, without views, projector and method arguments.
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
    """Creates the base config for CIFAR-10, which the files in configs/cifar10 modify.

    The encoder is a ResNet-18 with a 3x3 stem without pooling; kNN uses 200 neighbors.

    Returns:
        The config, without views, projector and method arguments.
    """
    config = fields.default()
    config.data.name = "cifar10"
    config.encoder = {"name": "resnet18", "stem": "cifar"}
    config.evaluate.options.knn = {"k": 200, "temperature": 0.1}
    return config


def small_grey() -> ConfigDict:
    """Creates a base config for small gray images, which trains within minutes on a CPU.

    The configs for Fashion-MNIST and for icons start from it. Prepare the Fashion-MNIST data once,
    from a folder with its four IDX files:
    python -m byol_jax prepare --source=FOLDER --out=data/fashion_mnist

    Design decisions, measured with one seed each as linear accuracy in percent:
        Encoder: Convolutions on large maps are slow on two CPU cores, and a linear classifier
            profits from wide features. The stem therefore halves the resolution, and bottleneck
            blocks produce 512 features from narrow convolutions. Two epochs of BYOL reach 86.5;
            three epochs with basic blocks and 96 features reach 85.2.
        Initial scale of each block's last normalization: 1. With 0, which is common for long
            training, the accuracy is 1.5 points lower.
        Crop area: at least 0.3 of the image. A minimum of 0.15 loses 1.2 points; 0.5 is equal.
        Color jitter: brightness and contrast 0.4. No jitter loses 2.3 points; twice as much, 1.8.
        Batch size: 128. With 256 there are fewer steps and 1.8 points less; 64 is equal.

    Returns:
        The config, without projector and method arguments.
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
        "hue": 0.0,  # grey images have no hue
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
    """Creates the base config of the collapse study: BYOL on the images that the package contains.

    Each config in configs/collapse changes one part of BYOL (Grill et al. 2020, table 5) and keeps
    the learning rates.

    Returns:
        The config of BYOL.
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
    config.schedule = {
        "name": "cosine",
        "learning_rate": 0.8,
        "scaling": "linear",
        "warmup_epochs": 1.0,
    }
    config.epochs = 10
    config.log_every_steps = 13
    config.evaluate.baselines = ()
    return config
