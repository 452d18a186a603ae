"""The views of a config: from its sections to functions of a batch, on the device and on the host."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from byol_jax import augment, data, errors


def settings_of(config: ConfigDict) -> dict[str, augment.Settings]:
    """The settings of each of config.views."""
    return {name: _settings(f"views.{name}", view) for name, view in config.views.items()}


def _settings(path, section):
    with errors.naming_section(path, section):
        return augment.preset_settings(**section)


def make_views(config: ConfigDict, *, cropped: bool = False) -> Callable:
    """The function of parts.Parts; cropped: its images are [B, V, h, w, C], cut out already."""
    chosen = settings_of(config)
    if cropped:
        chosen = {
            view: s._replace(order=tuple(name for name in s.order if name != "crop"))
            for view, s in chosen.items()
        }
    views = [_view(f"views.{view}", config.views[view], s) for view, s in chosen.items()]

    def make(keys, images):
        def draw(number, view):
            view_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, jnp.uint32(number))
            return view(view_keys, images[:, number] if cropped else images)

        return tuple(draw(number, view) for number, view in enumerate(views))

    return make


def _view(path, section, settings):
    with errors.naming_section(path, section):
        view = augment.batched(augment.pipeline(**settings._asdict()))
    return errors.naming_section(path, section)(view)


def host_crops(config: ConfigDict, dtype: np.dtype, num_channels: int) -> data.Crops:
    """What the host has to cut for config.views.

    Raises ValueError where it cannot: it cuts first of all, crops of one size, by one method, out of
    pictures in grey or RGB of 8 bits.
    """
    views = settings_of(config)
    shared = {(s.size, s.method, s.antialias) for s in views.values()}
    problems = {
        f"the pictures have {num_channels} channels of {dtype}": dtype != "uint8"
        or num_channels not in (1, 3),
        "a view does not begin with its crop": any(
            s.order[:1] != ("crop",) for s in views.values()
        ),
        "a view has no size": any(s.size is None for s in views.values()),
        "the views differ in size, method or antialias": len(shared) > 1,
    }
    for problem, is_there in problems.items():
        if is_there:
            raise errors.UserError(
                f"the host cannot crop, since {problem}; set data.crops='device', and "
                "data.image_size where pictures differ in size."
            )
    ((size, method, antialias),) = shared
    boxes = tuple(
        {"area": tuple(s.area), "ratio": tuple(s.ratio), "attempts": s.crop_attempts}
        for s in views.values()
    )
    return data.Crops(boxes, augment.height_and_width(size), method, antialias)


def check_channels(config: ConfigDict, channels: int) -> None:
    """Checks the views against the images: only RGB has a hue, a mean has one number or one a channel.

    Raises:
        UserError: naming the field of the view to change.
    """
    data_name = config.data.name
    views = settings_of(config)
    for view, settings in views.items():
        jitters = "jitter" in settings.order and settings.jitter_probability > 0
        if jitters and settings.hue and channels != 3:
            raise errors.UserError(
                f"views.{view} turns the hue by up to {settings.hue:g}, which is there in RGB "
                f"alone, and the pictures of {data_name!r} have {channels} channels; set "
                f"config.views.{view}.hue = 0 in the config file.",
                section=f"views.{view}.hue",
                value=settings.hue,
            )
    means = {f"views.{view}": settings.mean for view, settings in views.items()}
    means["evaluate.view"] = evaluation_settings(config)["mean"]
    for path, mean in means.items():
        if mean is not None and len(mean) not in (1, channels):
            raise errors.UserError(
                f"{path} subtracts a mean of {len(mean)} numbers, and the pictures of "
                f"{data_name!r} have {channels} channels; set config.{path}.mean and "
                f"config.{path}.std to one number, as in (0.5,), to one per channel, or to None.",
                section=f"{path}.mean",
                value=mean,
            )


def evaluation_settings(config: ConfigDict) -> dict:
    """The arguments of augment.evaluation_view: config.evaluate.view, on those of the first view."""
    first = next(iter(settings_of(config).values()))
    shared = {"size": first.size, "mean": first.mean, "std": first.std}
    return {**shared, **config.evaluate.view}


def evaluation_view(config: ConfigDict) -> Callable:
    """The function of parts.Parts."""
    settings = evaluation_settings(config)
    within = errors.naming_section("evaluate.view", {"views": dict(config.views), **settings})
    with errors.naming_section("evaluate.view", settings):
        return within(jax.vmap(augment.evaluation_view(**settings)))


def tuning_view(config: ConfigDict) -> Callable:
    """The random crops and mirror images of the first of config.views, to train classifiers on.

    tuning_view(keys [B], images [B, H, W, C]) -> [B, h, w, C].
    """
    first = next(iter(settings_of(config).values()))
    chance = {"area": first.area, "ratio": first.ratio, "flip_probability": first.flip_probability}
    return crops(evaluation_settings(config), **chance)


def crops(evaluation: dict, **chance) -> Callable:
    """As tuning_view, of the size, mean, std, … of an evaluation view; chance: of augment.Settings."""
    same = {name: value for name, value in evaluation.items() if name != "proportion"}
    return augment.batched(
        augment.pipeline(order=("crop", "flip"), **{"antialias": True, **same}, **chance)
    )
