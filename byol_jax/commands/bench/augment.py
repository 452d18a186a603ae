"""`bench augment`: measures how many images per second augmentation turns into views."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from byol_jax import augment as augmentation
from byol_jax import errors
from byol_jax.builders import views as build_views
from byol_jax.commands.bench import timing

_PIXELS = 2**20  # approximate number of pixels in a batch


def measure(config: ConfigDict) -> dict[str, Any]:
    """Measures how many images per second one CPU core turns into a config's augmented views.

    If the extra `parity` is installed, also measures torchvision's and lightly's operations with
    the same settings on Pillow images, in rounds that alternate between the two. On an accelerator,
    byol_jax uses one device and lightly one CPU core. Prints the results and the compile time.

    Args:
        config: The experiment's config.

    Returns:
        Images per second as "byol_jax" and "lightly", and "ratios" with their ratio, the median
        over the rounds. Without lightly, only "byol_jax".
    """
    sides = augmentation.height_and_width(_image_size(config))
    images = smooth_images(max(8, min(256, _PIXELS // (sides[0] * sides[1]))), sides)
    with timing.one_core():
        calls = {"byol_jax": _make_jax_call(config, images)}
        try:
            calls["lightly"] = _make_lightly_call(config, images)
        except ImportError as error:
            print(f"skipping lightly: {error.name} is missing; run pip install 'byol_jax[parity]'")
        seconds = timing.alternate(calls)
    return timing.report(seconds, len(images), "images/s on one core, all views of each image")


def smooth_images(count: int, sides: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Generates random images that are smooth like photographs, with a little noise.

    Args:
        count: The number of images, N.
        sides: The height H and the width W in pixels.
        seed: The seed of the random numbers.

    Returns:
        RGB images, uint8 [N, H, W, 3].
    """
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 8, 8, 3)).astype(np.float32)
    fine = np.asarray(jax.image.resize(coarse, (count, *sides, 3), "cubic"))
    return np.clip(fine + rng.normal(0, 4, fine.shape), 0, 255).astype(np.uint8)


def _image_size(config: ConfigDict):
    """Returns the size of the stored images or, if their sizes differ, of the first view."""
    first_view = next(iter(build_views.settings_of(config).values()))
    size = config.data.image_size or first_view.size
    if size is None:
        raise errors.UserError(
            "the config sets neither data.image_size nor the size of its first view; set one of "
            "them."
        )
    return size


def _make_jax_call(config: ConfigDict, images: np.ndarray) -> Callable[[], object]:
    make_views = jax.jit(build_views.make_views(config))
    keys = jax.random.split(jax.random.key(config.seed), len(images))
    device_images = jax.device_put(images)
    views = jax.eval_shape(make_views, keys, device_images)
    shapes = ", ".join(f"{view.dtype}{list(view.shape[1:])}" for view in views)
    print(f"{len(images)} images uint8{list(images.shape[1:])} -> views {shapes}")
    start = time.perf_counter()
    compiled = make_views.lower(keys, device_images).compile()
    print(f"compiled in {time.perf_counter() - start:.1f} s for {jax.devices()[0].platform}")
    return lambda: jax.block_until_ready(compiled(keys, device_images))


def _make_lightly_call(config: ConfigDict, images: np.ndarray) -> Callable[[], list]:
    import torch  # pyright: ignore[reportMissingImports]
    from PIL import Image

    torch.set_num_threads(1)
    views = build_views.settings_of(config).values()
    transforms = [_transform(settings, images.shape[1:3]) for settings in views]
    pictures = [Image.fromarray(image) for image in images]
    return lambda: [transform(picture) for picture in pictures for transform in transforms]


def _transform(settings: augmentation.Settings, sides: tuple[int, ...]):
    """Builds the torchvision transform of a view, for Pillow images of the given size.

    Two operations differ: Pillow always antialiases when it shrinks an image, and torchvision
    jitters colors by its own formulas.
    """
    from lightly import transforms as lightly  # pyright: ignore[reportMissingImports]
    from torchvision import transforms  # pyright: ignore[reportMissingImports]

    interpolation = transforms.InterpolationMode[settings.method.upper()]
    size = sides if settings.size is None else augmentation.height_and_width(settings.size)
    resize = []
    if "crop" not in settings.order:
        resize = [transforms.Resize(size, interpolation=interpolation)]
    jitter = transforms.ColorJitter(
        settings.brightness, settings.contrast, settings.saturation, settings.hue
    )
    operations = {
        "crop": transforms.RandomResizedCrop(
            size, tuple(settings.area), tuple(settings.ratio), interpolation=interpolation
        ),
        "flip": transforms.RandomHorizontalFlip(settings.flip_probability),
        "jitter": transforms.RandomApply([jitter], settings.jitter_probability),
        "grayscale": transforms.RandomGrayscale(settings.grayscale_probability),
        "blur": lightly.GaussianBlur(
            prob=settings.blur_probability, sigmas=tuple(settings.blur_sigma)
        ),
        "solarize": lightly.RandomSolarization(
            settings.solarize_probability, round(255 * settings.solarize_threshold)
        ),
    }
    steps = [operations[name] for name in settings.order]
    normalize = []
    if settings.mean is not None:
        normalize = [transforms.Normalize(settings.mean, settings.std)]
    return transforms.Compose([*resize, *steps, transforms.ToTensor(), *normalize])
