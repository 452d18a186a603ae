"""How many images a second become views: python -m byol_jax bench augment --config=FILE."""

import time

import jax
import numpy as np
from ml_collections import ConfigDict

from byol_jax import augment as augmentation
from byol_jax import errors
from byol_jax.builders import views as build_views
from byol_jax.commands.bench import timing

_PIXELS = 2**20  # of a batch


def measure(config: ConfigDict) -> dict[str, float]:
    """Images per second of one core, an image being all views of the config made from it.

    Prints them, with the compile time, and returns them by name: "byol_jax" and, where the extra
    `parity` is installed, "lightly", the same settings in torchvision's and lightly's operations on
    Pillow images; then also "ratio", the median over rounds that alternate between the two. On an
    accelerator it is one device against one core.
    """
    sides = augmentation.height_and_width(_image_size(config))
    images = smooth_images(max(8, min(256, _PIXELS // (sides[0] * sides[1]))), sides)
    with timing.one_core():
        calls = {"byol_jax": _ours(config, images)}
        try:
            calls["lightly"] = _lightlys(config, images)
        except ImportError as error:
            print(f"without lightly, for {error.name} is missing: pip install 'byol_jax[parity]'")
        seconds = timing.alternate(calls)
    return timing.report(seconds, len(images), "images/s of one core, all views of each")


def smooth_images(count: int, sides: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Random pictures, smooth as photographs are, with a little noise: uint8 [count, H, W, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 8, 8, 3)).astype(np.float32)
    fine = np.asarray(jax.image.resize(coarse, (count, *sides, 3), "cubic"))
    return np.clip(fine + rng.normal(0, 4, fine.shape), 0, 255).astype(np.uint8)


def _image_size(config):
    """The side of the stored pictures; where they differ, that of the first view."""
    first = next(iter(build_views.settings_of(config).values()))
    size = config.data.image_size or first.size
    if size is None:
        raise errors.UserError(
            "the config has neither data.image_size nor a view's size; give one."
        )
    return size


def _ours(config, images):
    make_views = jax.jit(build_views.make_views(config))
    keys = jax.random.split(jax.random.key(config.seed), len(images))
    images = jax.device_put(images)
    views = jax.eval_shape(make_views, keys, images)
    shapes = ", ".join(f"{view.dtype}{list(view.shape[1:])}" for view in views)
    print(f"{len(images)} pictures uint8{list(images.shape[1:])} -> views {shapes}")
    start = time.perf_counter()
    compiled = make_views.lower(keys, images).compile()
    print(f"compiled in {time.perf_counter() - start:.1f} s for {jax.devices()[0].platform}")
    return lambda: jax.block_until_ready(compiled(keys, images))


def _lightlys(config, images):
    import torch
    from PIL import Image

    torch.set_num_threads(1)
    views = build_views.settings_of(config).values()
    transforms = [_transform(settings, images.shape[1:3]) for settings in views]
    pictures = [Image.fromarray(image) for image in images]
    return lambda: [transform(picture) for picture in pictures for transform in transforms]


def _transform(s, sides):
    """The settings as a transform of Pillow images of these sides, by torchvision and lightly.

    Pillow always averages where it shrinks, and torchvision jitters colors in its own way.
    """
    from lightly import transforms as lightly
    from torchvision import transforms

    how = {"interpolation": transforms.InterpolationMode[s.method.upper()]}
    size = sides if s.size is None else augmentation.height_and_width(s.size)
    resize = [] if "crop" in s.order else [transforms.Resize(size, **how)]
    jitter = transforms.ColorJitter(s.brightness, s.contrast, s.saturation, s.hue)
    named = {
        "crop": transforms.RandomResizedCrop(size, tuple(s.area), tuple(s.ratio), **how),
        "flip": transforms.RandomHorizontalFlip(s.flip_probability),
        "jitter": transforms.RandomApply([jitter], s.jitter_probability),
        "grayscale": transforms.RandomGrayscale(s.grayscale_probability),
        "blur": lightly.GaussianBlur(prob=s.blur_probability, sigmas=tuple(s.blur_sigma)),
        "solarize": lightly.RandomSolarization(
            s.solarize_probability, round(255 * s.solarize_threshold)
        ),
    }
    normalize = [] if s.mean is None else [transforms.Normalize(s.mean, s.std)]
    steps = [named[name] for name in s.order]
    return transforms.Compose([*resize, *steps, transforms.ToTensor(), *normalize])
