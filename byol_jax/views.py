"""The views of a config: from its sections to functions of a batch, on the device and on the host."""

import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from byol_jax import augment, data, sections, told


def settings_of(config: ConfigDict) -> dict[str, augment.Settings]:
    """The settings of each of config.views; raises ValueError where there are none."""
    if not config.views:
        raise ValueError("config.views is empty; give one section per view, each with a name.")
    return {name: _settings(f"views.{name}", given) for name, given in config.views.items()}


def _settings(section, given):
    arguments = dict(given)
    name = arguments.pop("name", None)
    sections.check_name(section, name, augment.PRESETS)
    accepted = {"strength": float, **augment.Settings.__annotations__}
    sections.check_arguments(section, name, arguments, accepted)
    with told.of(section, given):
        return augment.preset_settings(name, **arguments)


def make_views(config: ConfigDict, *, cropped: bool = False) -> Callable:
    """The function of build.Parts; cropped: its images are [B, V, h, w, C], cut out already."""
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


def _view(section, given, settings):
    with told.of(section, given):
        return told.of(section, given)(augment.batched(augment.pipeline(**settings._asdict())))


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
            raise ValueError(
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
    """Hue is there in RGB alone, and a mean has a number for every channel or one for all."""
    name, settings = config.data.name, settings_of(config)
    for view, s in settings.items():
        turns = s.hue if "jitter" in s.order and s.jitter_probability > 0 else 0.0
        if turns and channels != 3:
            raise ValueError(
                f"views.{view} turns the hue by up to {turns:g}, which is there in RGB alone, and "
                f"the pictures of {name!r} have {channels} channels; set config.views.{view}.hue = "
                "0 in the config file."
            )
    means = {f"views.{view}": s.mean for view, s in settings.items()}
    means["evaluate.view"] = evaluation_settings(config)["mean"]
    for section, mean in means.items():
        if mean is not None and len(mean) not in (1, channels):
            raise ValueError(
                f"{section} subtracts a mean of {len(mean)} numbers, and the pictures of {name!r} "
                f"have {channels} channels; set config.{section}.mean and config.{section}.std to "
                "one number, as in (0.5,), to one per channel, or to None."
            )


def evaluation_settings(config: ConfigDict) -> dict:
    """The arguments of augment.evaluation_view, of config.evaluate.view and the first of config.views."""
    first = next(iter(settings_of(config).values()))
    shared = {"size": first.size, "mean": first.mean, "std": first.std}
    parameters = inspect.signature(augment.evaluation_view).parameters
    accepted = {name: p.annotation for name, p in parameters.items()}
    given = config.evaluate.view
    sections.check_arguments("evaluate.view", "augment.evaluation_view", given, accepted)
    return {**shared, **given}


def evaluation_view(config: ConfigDict) -> Callable:
    """The function of build.Parts."""
    settings = evaluation_settings(config)
    within = told.of("evaluate.view", {"views": dict(config.views), **settings})
    with told.of("evaluate.view", settings):
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
