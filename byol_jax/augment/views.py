"""Random and evaluation views of an image, built from the settings that a config file contains."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from byol_jax import errors, explicit, pickling
from byol_jax.augment import calls, color, filters, geometry, jitter


class Settings(NamedTuple):
    """The settings of a random view; each is a number, a string, None, or a sequence.

    An operation runs if `order` names it and its probability is above 0. The defaults run neither
    blur nor solarize.

    Attributes:
        size: Size of the view, h for both sides or (h, w); None keeps the image's size.
        order: Names of the operations in the order in which they run, from crop, flip, jitter,
            grayscale, blur and solarize.
        area: Range of the crop's share of the image area; see `random_box`.
        ratio: Range of the crop's width / height.
        crop_attempts: Number of boxes to draw for a crop.
        method: Resampling, "bilinear" or "bicubic".
        antialias: True antialiases if the crop shrinks.
        flip_probability: Probability of a horizontal flip.
        jitter_probability: Probability of color jitter.
        brightness: Strength of the brightness jitter; see `random_color_jitter`.
        contrast: Strength of the contrast jitter.
        saturation: Strength of the saturation jitter.
        hue: Strength of the hue jitter in turns, at most 0.5.
        additive_brightness: True adds brightness (BYOL), False multiplies (torchvision).
        per_channel_contrast: True scales contrast about each channel's mean (TensorFlow), False
            about the mean of the gray image (torchvision).
        hsv_saturation: True scales the saturation in HSV space (TensorFlow), False by blending with
            the gray image (torchvision).
        grayscale_probability: Probability of conversion to gray.
        blur_probability: Probability of Gaussian blur.
        blur_sigma: Range of the blur's standard deviation in pixels.
        blur_kernel_size: Side of the blur's kernel in pixels, odd; None takes a tenth of the view's
            height.
        blur_padding: Values beyond the border: "same", "edge" or "reflect"; see `blur`.
        solarize_probability: Probability of solarization.
        solarize_threshold: The smallest value that solarization inverts.
        mean: Numbers to subtract at the end, one for each channel or one for all; None does not
            normalize.
        std: Numbers to divide by at the end, as many as in `mean`.
        dtype: Type of the view, "float32" or "bfloat16"; the operations compute in float32.
    """

    size: int | Sequence[int] | None = None
    order: Sequence[str] = ("crop", "flip", "jitter", "grayscale", "blur", "solarize")
    area: Sequence[float] = (0.08, 1.0)
    ratio: Sequence[float] = (3 / 4, 4 / 3)
    crop_attempts: int = 10
    method: str = "bilinear"
    antialias: bool = False
    flip_probability: float = 0.5
    jitter_probability: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    additive_brightness: bool = True
    per_channel_contrast: bool = True
    hsv_saturation: bool = True
    grayscale_probability: float = 0.2
    blur_probability: float = 0.0
    blur_sigma: Sequence[float] = (0.1, 2.0)
    blur_kernel_size: int | None = None
    blur_padding: str = "same"
    solarize_probability: float = 0.0
    solarize_threshold: float = 0.5
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    dtype: str = "float32"


def _crop(key, image, s):
    return geometry.random_resized_crop(
        key,
        image,
        size=image.shape[:2] if s.size is None else s.size,
        area=s.area,
        ratio=s.ratio,
        attempts=s.crop_attempts,
        method=s.method,
        antialias=s.antialias,
    )


def _flip(key, image, s):
    return geometry.random_flip(key, image, probability=s.flip_probability)


def _jitter(key, image, s):
    return jitter.random_color_jitter(
        key,
        image,
        brightness=s.brightness,
        contrast=s.contrast,
        saturation=s.saturation,
        hue=s.hue,
        probability=s.jitter_probability,
        additive_brightness=s.additive_brightness,
        per_channel_contrast=s.per_channel_contrast,
        hsv_saturation=s.hsv_saturation,
    )


def _grayscale(key, image, s):
    return color.random_grayscale(key, image, probability=s.grayscale_probability)


def _blur(key, image, s):
    return filters.random_blur(
        key,
        image,
        sigma=s.blur_sigma,
        probability=s.blur_probability,
        kernel_size=s.blur_kernel_size,
        padding=s.blur_padding,
    )


def _solarize(key, image, s):
    return color.random_solarize(
        key, image, probability=s.solarize_probability, threshold=s.solarize_threshold
    )


# An operation's position determines its key. Append new ones at the end, so that a seed still gives
# the same views.
_OPERATIONS = {
    "crop": _crop,
    "flip": _flip,
    "jitter": _jitter,
    "grayscale": _grayscale,
    "blur": _blur,
    "solarize": _solarize,
}
_DTYPES = ("float32", "bfloat16")
_NUMBERS = {name: number for number, name in enumerate(_OPERATIONS)}


def _check(settings: Settings) -> None:
    unknown = [name for name in settings.order if name not in _OPERATIONS]
    if unknown:
        name = unknown[0]
        suggestion = errors.near(name, _OPERATIONS)
        choices = ", ".join(_OPERATIONS)
        raise errors.UserError(
            f"order contains an unknown operation, {name!r}{suggestion}; choose from {choices}."
        )
    if len(set(settings.order)) != len(settings.order):
        order = ", ".join(settings.order)
        raise errors.UserError(f"order must not repeat an operation; it is {order}.")
    for name in ("area", "ratio", "blur_sigma"):
        value = tuple(getattr(settings, name))
        if len(value) != 2:
            raise errors.UserError(f"{name} {value} must be a pair of numbers.")
    if settings.size is not None and min(geometry.height_and_width(settings.size)) < 1:
        raise errors.UserError(f"height and width must be 1 or more, but size is {settings.size}.")
    if (settings.mean is None) != (settings.std is None):
        raise errors.UserError("mean and std belong together; give both or neither.")
    if settings.dtype not in _DTYPES:
        choices = ", ".join(_DTYPES)
        raise errors.UserError(f"dtype {settings.dtype!r} must be one of {choices}.")


@calls.compiled_once
def _make_view(key, image, *, settings: Settings):
    image = color.to_float(image)
    if "crop" not in settings.order and settings.size is not None:
        image = geometry.resize(
            image, size=settings.size, method=settings.method, antialias=settings.antialias
        )
    for name in settings.order:
        operation_key = jax.random.fold_in(key, _NUMBERS[name])
        image = _OPERATIONS[name](operation_key, image, settings)
    if settings.mean is not None and settings.std is not None:
        image = color.normalize(image, mean=settings.mean, std=settings.std)
    return image.astype(settings.dtype)


def pipeline(**settings: Any) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Builds a random view from its settings: a function view(key, image).

    The function takes one PRNG key and one image [H, W, C], uint8, uint16 or float in [0, 1], with
    any number of channels. It returns the view [h, w, C], in [0, 1] unless normalized. If the order
    has no "crop", the whole image is resized. The draws of an operation depend on the key and the
    operation only, not on the other operations. See `batched` for batches.

    Args:
        **settings: Fields of Settings.

    Returns:
        The function view(key, image) -> view.

    Raises:
        UserError: If a setting is invalid, such as an unknown operation.
        TypeError: If a setting is not a field of Settings.
    """
    checked = Settings(**{name: calls.hashable(value) for name, value in settings.items()})
    _check(checked)
    return functools.partial(_make_view, settings=checked)


def _image_specs(keys, images):
    """Returns the sharding of a batch of views, which is split like the images' first axis."""
    del keys
    return PartitionSpec(*explicit.spec(images, axes=1), None, None, None)


@pickling.picklable
def batched(
    view: Callable[[jax.Array, jax.Array], jax.Array],
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Turns a view of one image into a view of a batch: view(key, image) to views(keys, images).

    The result equals that of jax.vmap(view). On a CPU, however, the images pass through the
    pipeline one after the other, which computes only the operations that their keys draw: a quarter
    of the work at 224 pixels. With many cores and small images, jax.vmap(view) may still be faster.
    On an accelerator, the function is jax.vmap(view).

    Args:
        view: A function view(key, image), such as the result of `preset` or `pipeline`.

    Returns:
        The function views(keys [B], images [B, H, W, C]) -> [B, h, w, C].
    """

    def one_by_one(keys, images):
        dtype = jax.eval_shape(view, keys[0], images[0]).dtype
        # To write one image into a bfloat16 array, XLA:CPU converts the whole array.
        loop_dtype = jnp.float32 if dtype == jnp.bfloat16 else dtype
        views = jax.lax.map(lambda pair: view(*pair).astype(loop_dtype), (keys, images))
        return views.astype(dtype)

    @functools.partial(jax.jit, inline=True)
    @explicit.automatic(_image_specs)
    def views(keys: jax.Array, images: jax.Array) -> jax.Array:
        return jax.lax.platform_dependent(keys, images, cpu=one_by_one, default=jax.vmap(view))

    return views


def _crop_center(image, size, proportion):
    """Crops a box around the center of an image, with the aspect ratio of `size`.

    The sides of the box are those of the largest such box, multiplied by `proportion`.
    """
    height, width = image.shape[:2]
    scale = proportion * min(height / size[0], width / size[1])
    sides = (max(1, round(scale * size[0])), max(1, round(scale * size[1])))
    return geometry.center_crop(image, size=sides)


def evaluation_view(
    *,
    size: int | Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    proportion: float = 1.0,
    method: str = "bilinear",
    antialias: bool = True,
) -> Callable[[jax.Array], jax.Array]:
    """Builds a deterministic view for evaluation: the resized and normalized center of an image.

    The view is a function view(image) of one image [H, W, C], uint8, uint16 or float in [0, 1],
    with any number of channels. At proportion 1, an image of the right size is only converted to
    float32 and normalized.

    Args:
        size: Size of the view, h for both sides or (h, w); None keeps the image's size.
        mean: Numbers to subtract, one for each channel or one for all; None does not normalize.
        std: Numbers to divide by, as many as in `mean`.
        proportion: Share of the shorter side that the crop keeps, in (0, 1]. For ImageNet, 0.875 =
            224 / 256 is usual (BYOL and SimCLR, with bicubic resampling and no antialiasing).
        method: Resampling, "bilinear" or "bicubic".
        antialias: True antialiases if the crop shrinks.

    Returns:
        The function view(image) -> [h, w, C], float32.

    Raises:
        UserError: If the proportion is not in (0, 1], or only one of mean and std is given.
    """
    if not 0 < proportion <= 1:
        raise errors.UserError(f"proportion ({proportion}) must be in (0, 1].")
    _check(Settings(size=size, mean=mean, std=std))
    return functools.partial(
        _make_evaluation_view,
        size=size,
        mean=mean,
        std=std,
        proportion=proportion,
        method=method,
        antialias=antialias,
    )


@calls.compiled_once
def _make_evaluation_view(image, *, size, mean, std, proportion, method, antialias):
    image = color.to_float(image)
    target_size = geometry.height_and_width(image.shape[:2] if size is None else size)
    image = _crop_center(image, target_size, proportion)
    image = geometry.resize(image, size=target_size, method=method, antialias=antialias)
    if mean is None or std is None:
        return image
    return color.normalize(image, mean=mean, std=std)
