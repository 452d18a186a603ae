"""From an image to a view: the operations composed by flat settings, as a config file holds them."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from byol_jax import errors
from byol_jax.augment import color, filters, geometry, jitter


class Settings(NamedTuple):
    """The settings of a random view; each is a number, a string, or a list of them.

    An operation happens when `order` names it and its probability is above 0; the defaults leave
    out blur and solarize. None for `size` keeps the image's own, for blur_kernel_size takes a tenth
    of the height, for mean and std does not normalize. dtype, float32 or bfloat16, is what the view
    is rounded to when all is done. The rest is as in the `random_*` operations.
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


# The place of an operation numbers its key: append, so that old seeds keep giving the same views.
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
        raise errors.UserError(
            f"order has {unknown[0]!r}{errors.near(unknown[0], _OPERATIONS)}; the operations are "
            f"{', '.join(_OPERATIONS)}."
        )
    if len(set(settings.order)) != len(settings.order):
        raise errors.UserError(f"order names an operation twice: {', '.join(settings.order)}.")
    for name in ("area", "ratio", "blur_sigma"):
        if len(getattr(settings, name)) != 2:
            raise errors.UserError(f"{name} {tuple(getattr(settings, name))} must be a pair.")
    if settings.size is not None and min(geometry.height_and_width(settings.size)) < 1:
        raise errors.UserError(f"size {settings.size} must be 1 or more.")
    if (settings.mean is None) != (settings.std is None):
        raise errors.UserError("mean and std go together: give both or neither.")
    if settings.dtype not in _DTYPES:
        raise errors.UserError(f"dtype {settings.dtype!r} must be one of {', '.join(_DTYPES)}.")


def _make_view(key, image, *, settings):
    image = color.to_float(image)
    if "crop" not in settings.order and settings.size is not None:
        how = {"method": settings.method, "antialias": settings.antialias}
        image = geometry.resize(image, size=settings.size, **how)
    for name in settings.order:
        own = jax.random.fold_in(key, _NUMBERS[name])
        image = _OPERATIONS[name](own, image, settings)
    if settings.mean is not None:
        image = color.normalize(image, mean=settings.mean, std=settings.std)
    return image.astype(settings.dtype)


def pipeline(**settings) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The function view(key, image) which these settings (fields of Settings) describe.

    image is uint8, uint16 or float in [0, 1], [H, W, C], any C; the view [h, w, C] of `size`
    and `dtype`, in [0, 1] unless normalized. Without "crop" in the order the whole image is resized. An
    operation's draws depend on the key and on itself alone, not on which others are on. Meant to
    run under jit; for a batch, see batched.

    Raises TypeError for an unknown setting, ValueError for an unknown operation or dtype.
    """
    chosen = Settings(**settings)
    _check(chosen)
    return functools.partial(_make_view, settings=chosen)


def batched(
    view: Callable[[jax.Array, jax.Array], jax.Array],
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The function views(keys [B], images [B, H, W, C]) -> [B, h, w, C]: view, for each of a batch.

    What jax.vmap(view) gives. On a CPU, though, one image after the other goes through the whole
    pipeline, and only what its key drew is computed: at 224 pixels a quarter of the work. With many
    cores and small images jax.vmap(view) may still be sooner done. An accelerator takes the batch at
    once, and selects.
    """

    def one_by_one(keys, images):
        dtype = jax.eval_shape(view, keys[0], images[0]).dtype
        # XLA:CPU writes into a bfloat16 array by converting all of it, for every image anew.
        wide = jnp.float32 if dtype == jnp.bfloat16 else dtype
        made = jax.lax.map(lambda pair: view(*pair).astype(wide), (keys, images))
        return made.astype(dtype)

    def views(keys: jax.Array, images: jax.Array) -> jax.Array:
        how = {"cpu": one_by_one, "default": jax.vmap(view)}
        return jax.lax.platform_dependent(keys, images, **how)

    return views


def _central_part(image, size, proportion):
    """The largest central box of the ratio of `size`, its sides times proportion."""
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
    """The function view(image): the central part, resized to `size` and normalized, without chance.

    proportion is the share of the shorter side that is kept: 224 / 256 = 0.875 is usual for
    ImageNet (BYOL, SimCLR: bicubic without antialias). image is as in pipeline; at proportion 1 and
    the right size, or with size None, its pixels are only converted and normalized.

    Raises ValueError when proportion is not in (0, 1], or only one of mean and std is given.
    """
    if not 0 < proportion <= 1:
        raise errors.UserError(f"proportion ({proportion}) must be in (0, 1].")
    _check(Settings(size=size, mean=mean, std=std))

    def view(image: jax.Array) -> jax.Array:
        image = color.to_float(image)
        target = geometry.height_and_width(image.shape[:2] if size is None else size)
        image = _central_part(image, target, proportion)
        image = geometry.resize(image, size=target, method=method, antialias=antialias)
        return image if mean is None else color.normalize(image, mean=mean, std=std)

    return view
