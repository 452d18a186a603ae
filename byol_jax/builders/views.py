"""Builds the augmentations of a config's views, which run on the devices and partly on the host."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from byol_jax import augment, data, errors, train_step


def settings_of(config: ConfigDict) -> dict[str, augment.Settings]:
    """Returns the augmentation settings of each view in config.views.

    Args:
        config: The experiment's config.

    Returns:
        The settings by the view's name.

    Raises:
        UserError: If a view's settings are not valid; names the view.
    """
    return {name: _settings(f"views.{name}", view) for name, view in config.views.items()}


def _settings(path: str, section: Mapping[str, Any]) -> augment.Settings:
    with errors.naming_section(path, section):
        return augment.preset_settings(**section)


def make_views(config: ConfigDict, *, cropped: bool = False) -> train_step.MakeViews:
    """Builds the function that creates all views of a batch.

    Args:
        config: The experiment's config.
        cropped: True if the host cuts the crops. The function then takes crops [B, V, h, w, C], one
            per view, instead of images [B, H, W, C].

    Returns:
        The function of keys [B] and images; it returns V views [B, h, w, C].

    Raises:
        UserError: If a view's settings are not valid; names the view.
    """
    settings_by_view = settings_of(config)
    if cropped:
        settings_by_view = {
            name: settings._replace(order=tuple(op for op in settings.order if op != "crop"))
            for name, settings in settings_by_view.items()
        }
    views = [
        _view(f"views.{name}", config.views[name], settings)
        for name, settings in settings_by_view.items()
    ]

    def make(keys, images):
        def draw(number, view):
            view_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, jnp.uint32(number))
            return view(view_keys, images[:, number] if cropped else images)

        return tuple(draw(number, view) for number, view in enumerate(views))

    return make


def _view(
    path: str, section: Mapping[str, Any], settings: augment.Settings
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    # Some settings are refused when the view is built, others when it is traced.
    with errors.naming_section(path, section):
        view = augment.batched(augment.pipeline(**settings._asdict()))
    return errors.naming_section(path, section)(view)


def host_crops(config: ConfigDict, dtype: np.dtype, num_channels: int) -> data.Crops:
    """Returns the settings of the random crops that the host cuts for config.views.

    Args:
        config: The experiment's config.
        dtype: Type of the images.
        num_channels: Number of channels of the images.

    Returns:
        The settings.

    Raises:
        UserError: If the host cannot cut the crops. It needs 8-bit grey or RGB images, and views
            that begin with their crop and share one size, method and antialias.
    """
    views = list(settings_of(config).values())
    first = views[0]
    shared = {(settings.size, settings.method, settings.antialias) for settings in views}
    problem = None
    if dtype != "uint8" or num_channels not in (1, 3):
        problem = f"the images have {num_channels} channels of {dtype}"
    elif any(settings.order[:1] != ("crop",) for settings in views):
        problem = "a view does not begin with its crop"
    elif any(settings.size is None for settings in views):
        problem = "a view has no size"
    elif len(shared) > 1:
        problem = "the views differ in size, method or antialias"
    if problem is not None or first.size is None:
        raise errors.UserError(
            f"the host cannot cut the crops because {problem}; set config.data.crops='device', and "
            "also config.data.image_size if the images differ in size."
        )
    boxes = tuple(
        {
            "area": tuple(settings.area),
            "ratio": tuple(settings.ratio),
            "attempts": settings.crop_attempts,
        }
        for settings in views
    )
    size = augment.height_and_width(first.size)
    return data.Crops(boxes, size, first.method, first.antialias)


def check_channels(config: ConfigDict, channels: int) -> None:
    """Checks that the settings of the views suit the number of image channels.

    Args:
        config: The experiment's config.
        channels: Number of channels of the images.

    Raises:
        UserError: If a view changes the hue of images that are not RGB, or subtracts a mean whose
            length is neither 1 nor the number of channels. Names the field to change.
    """
    data_name = config.data.name
    settings_by_view = settings_of(config)
    for view, settings in settings_by_view.items():
        jitters = "jitter" in settings.order and settings.jitter_probability > 0
        if jitters and settings.hue and channels != 3:
            hue = f"{settings.hue:g}"
            raise errors.UserError(
                f"config.views.{view}.hue is {hue}, but only RGB images have a hue, and the images "
                f"of {data_name!r} have {channels} channels; set config.views.{view}.hue = 0 in "
                "the config file.",
                section=f"views.{view}.hue",
                value=settings.hue,
            )
    means = {f"views.{view}": settings.mean for view, settings in settings_by_view.items()}
    means["evaluate.view"] = evaluation_settings(config)["mean"]
    for path, mean in means.items():
        if mean is not None and len(mean) not in (1, channels):
            length = len(mean)
            raise errors.UserError(
                f"config.{path}.mean has {length} numbers, but the images of {data_name!r} have "
                f"{channels} channels; set config.{path}.mean and config.{path}.std to one number, "
                "such as (0.5,), to one number per channel, or to None.",
                section=f"{path}.mean",
                value=mean,
            )


def evaluation_settings(config: ConfigDict) -> dict[str, Any]:
    """Returns the arguments of augment.evaluation_view that a config implies.

    Args:
        config: The experiment's config.

    Returns:
        The fields of config.evaluate.view, with the size, mean and std of the first view as
        defaults.
    """
    first = next(iter(settings_of(config).values()))
    shared = {"size": first.size, "mean": first.mean, "std": first.std}
    return {**shared, **config.evaluate.view}


def evaluation_view(config: ConfigDict) -> Callable[[jax.Array], jax.Array]:
    """Builds the deterministic preprocessing for evaluation.

    Args:
        config: The experiment's config.

    Returns:
        A function from images [B, H, W, C] to float images [B, h, w, C].

    Raises:
        UserError: If a setting is not valid; names config.evaluate.view.
    """
    settings = evaluation_settings(config)
    naming = errors.naming_section("evaluate.view", {"views": dict(config.views), **settings})
    with errors.naming_section("evaluate.view", settings):
        return naming(jax.vmap(augment.evaluation_view(**settings)))


def tuning_view(config: ConfigDict) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Builds the view for the training of classifiers: the first view's crops and flips only.

    Args:
        config: The experiment's config.

    Returns:
        A function from keys [B] and images [B, H, W, C] to float images [B, h, w, C].
    """
    first = next(iter(settings_of(config).values()))
    return crops(
        evaluation_settings(config),
        area=first.area,
        ratio=first.ratio,
        flip_probability=first.flip_probability,
    )


def crops(
    evaluation: Mapping[str, Any], **settings: Any
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Builds a view with random crops and flips, sized and normalized like an evaluation view.

    Args:
        evaluation: Arguments of augment.evaluation_view.
        **settings: Further settings, such as area; see augment.Settings.

    Returns:
        A function from keys [B] and images [B, H, W, C] to float images [B, h, w, C].
    """
    shared = {name: value for name, value in evaluation.items() if name != "proportion"}
    return augment.batched(
        augment.pipeline(order=("crop", "flip"), **{"antialias": True, **shared}, **settings)
    )
