"""Turns a config into parts: the one place where a section's names meet the functions they mean."""

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from byol_jax import augment, data, methods, networks, optimizers, probe

PRECISIONS = ("float32", "bfloat16")


class Parts(NamedTuple):
    """What an experiment is made of.

    make_views(keys, images) -> tuple of views; evaluation_view(images) -> float [B, h, w, C].
    encode(params, stats, images) -> what is evaluated, [B, F].  schedule: step -> learning rate.
    mask: of the optimizer, params -> pytree of bool.
    """

    method: methods.Method
    optimizer: optax.GradientTransformation
    make_views: Callable
    evaluation_view: Callable
    encode: Callable
    schedule: optax.Schedule
    peak_learning_rate: float
    mask: Callable
    online_probe: probe.Probe | None
    total_steps: int
    steps_per_epoch: int


def build(
    config: ConfigDict,
    *,
    num_examples: int,
    num_classes: int | None,
    axis_name: str | None,
    num_channels: int | None = None,
    cropped: bool = False,
) -> Parts:
    """The parts of `config` for a training split of num_examples, num_classes None if unlabelled.

    cropped: batches come with their crops cut, so that make_views does not.

    Raises ValueError, naming what would be accepted, for an unknown name or argument, and for a
    view that does not suit num_channels, where that is given.
    """
    if num_examples < config.batch_size:
        raise ValueError(
            f"batch_size ({config.batch_size}) is larger than the {num_examples} training "
            "examples; choose a smaller one."
        )
    if num_channels is not None:
        _check_channels(config, num_channels)
    steps_per_epoch = num_examples // config.batch_size
    total_steps = max(round(config.epochs * steps_per_epoch), 1)
    nets = _networks(config, axis_name)
    derived = {"num_examples": num_examples, "total_steps": total_steps, "axis_name": axis_name}
    method = _method(config, nets, derived, num_classes)
    peak, schedule = _schedule(config.schedule, config.batch_size, total_steps, steps_per_epoch)
    optimizer, mask = _optimizer("optimizer", config.optimizer, learning_rate=schedule)
    online_probe = None
    if num_classes is not None:
        online_probe = probe.Probe(num_classes, _optimizer("probe", config.probe)[0])
    evaluation_view = _evaluation_view(config)
    return Parts(
        method=method,
        optimizer=optimizer,
        make_views=make_views(config.views, cropped=cropped),
        evaluation_view=evaluation_view,
        encode=_encode(config, nets, evaluation_view),
        schedule=schedule,
        peak_learning_rate=peak,
        mask=mask,
        online_probe=online_probe,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
    )


def call(section: str, factories: Mapping[str, Callable], given: Mapping[str, Any], **derived):
    """Calls factories[given["name"]] with the rest of `given`, and with what it takes of derived.

    Raises ValueError for a name that is not there and for an argument that the factory lacks.
    """
    arguments = dict(given)
    name = arguments.pop("name", None)
    if name not in factories:
        known = ", ".join(sorted(factories))
        raise ValueError(
            f"unknown {section} {name!r}{_near(name, factories)}; config.{section}.name is one of "
            f"{known}."
        )
    factory = factories[name]
    parameters = inspect.signature(factory).parameters
    for argument in arguments:
        check_argument(section, name, argument, [p for p in parameters if p not in derived])
    derived = {key: value for key, value in derived.items() if key in parameters}
    required = [
        p.name for p in parameters.values() if p.default is p.empty and p.kind != p.VAR_KEYWORD
    ]
    missing = [name for name in required if name not in derived and name not in arguments]
    if missing:
        raise ValueError(
            f"{section} {name!r} needs {', '.join(missing)}: give it in config.{section}, or, for "
            "a network, in a section of that name."
        )
    return factory(**derived, **arguments)


def check_argument(section: str, name: str, argument: str, accepted: list[str]) -> None:
    """Raises ValueError when `argument` is not among those accepted, naming the nearest."""
    if argument not in accepted:
        raise ValueError(
            f"config.{section}.{argument}: {name} takes no {argument!r}"
            f"{_near(argument, accepted)}; it takes {', '.join(sorted(accepted))}."
        )


def _near(word, known) -> str:
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _networks(config, axis_name) -> dict[str, networks.Network]:
    if config.precision not in PRECISIONS:
        raise ValueError(f"precision {config.precision!r} must be one of {', '.join(PRECISIONS)}.")
    norm = _norm(dict(config.batch_norm), axis_name)
    encoder = call(
        "encoder", networks.ENCODERS, config.encoder, batch_norm=norm, dtype=config.precision
    )
    nets = {"encoder": encoder}
    for head in ("projector", "predictor"):
        if config.get(head):
            nets[head] = _head(head, config[head], norm, config.precision)
    if config.get("context"):
        arguments = {"name": "row_context", **config.context}
        known = {"row_context": networks.row_context}
        nets["context"] = call("context", known, arguments, dtype=config.precision)
    return nets


def _norm(arguments, axis_name):
    kind, sync = arguments.pop("kind", "batch"), arguments.pop("sync", True)
    if kind not in networks.NORMS:
        raise ValueError(f"config.batch_norm.kind {kind!r} must be {' or '.join(networks.NORMS)}.")
    module = networks.NORMS[kind]
    fields = [f for f in module.__dataclass_fields__ if f not in ("parent", "name")]
    for argument in arguments:
        check_argument("batch_norm", f"{kind} norm", argument, [*fields, "kind", "sync"])
    if kind == "batch":
        arguments["axis_name"] = axis_name if sync else None
    return functools.partial(module, **arguments)


def _head(section, given, norm, precision):
    arguments = {"name": "mlp", **given}
    use = {True: norm, False: None}[arguments.pop("batch_norm", True)]
    return call(section, {"mlp": networks.mlp}, arguments, batch_norm=use, dtype=precision)


def _method(config, nets, derived, num_classes):
    factory = methods.METHODS.get(config.method.get("name"))
    keys = config.batch_size * (2 if config.method.get("symmetric") else 1)  # of one step
    if config.method.get("capacity", keys) < keys:
        raise ValueError(
            f"the queue (method.capacity {config.method.capacity}) is smaller than the {keys} keys "
            f"of a step (batch_size {config.batch_size}); choose {keys} or more."
        )
    if factory is not None and "predictor" in nets:
        check_argument("predictor", config.method.name, "predictor", [*_parameters(factory)])
    if config.method.get("name") == "supervised" and num_classes is None:
        raise ValueError(
            f"the method 'supervised' needs labels and data set {config.data.name!r} has none; "
            "choose a self-supervised method, or prepare it from subfolders named after classes."
        )
    return call("method", methods.METHODS, config.method, **nets, **derived)


def _parameters(factory):
    return inspect.signature(factory).parameters


def _schedule(given, batch_size, total_steps, steps_per_epoch):
    arguments = dict(given)
    rate = arguments.pop("learning_rate", None)
    scaling = arguments.pop("scaling", "linear")
    scales = {"none": 1.0, "linear": batch_size / 256, "sqrt": batch_size**0.5}
    if rate is None or scaling not in scales:
        raise ValueError(
            f"config.schedule has learning_rate {rate} and scaling {scaling!r}; it needs a "
            f"learning_rate, and a scaling of {', '.join(scales)}."
        )
    peak = rate * scales[scaling]
    run = {"peak": peak, "total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    return peak, call("schedule", optimizers.SCHEDULES, arguments, **run)


def _optimizer(section, given, **derived):
    arguments = dict(given)
    multipliers = dict(arguments.pop("multipliers", {}))
    if "mask" in arguments:
        kind = arguments["mask"]
        if kind not in optimizers.MASKS:
            raise ValueError(
                f"config.{section}.mask {kind!r} must be one of {', '.join(optimizers.MASKS)}."
            )
        arguments["mask"] = optimizers.MASKS[kind]
    optimizer = call(section, optimizers.OPTIMIZERS, arguments, **derived)
    if multipliers:
        optimizer = optax.chain(optimizer, optimizers.scale_parts(multipliers))
    factory = optimizers.OPTIMIZERS[arguments["name"]]
    return optimizer, arguments.get("mask", _parameters(factory)["mask"].default)


def view_settings(sections: ConfigDict) -> dict[str, augment.Settings]:
    """The settings of each of config.views; raises ValueError where there are none."""
    if not sections:
        raise ValueError("config.views is empty; give one section per view, each with a name.")
    return {name: _view_settings(f"views.{name}", given) for name, given in sections.items()}


def _view_settings(section, given):
    arguments = dict(given)
    name = arguments.pop("name", None)
    if name not in augment.PRESETS:
        raise ValueError(
            f"unknown {section} {name!r}{_near(name, augment.PRESETS)}; config.{section}.name is "
            f"one of {', '.join(sorted(augment.PRESETS))}."
        )
    for argument in arguments:
        check_argument(section, name, argument, ["strength", *augment.Settings._fields])
    return augment.preset_settings(name, **arguments)


def make_views(sections: ConfigDict, *, cropped: bool = False) -> Callable:
    """The function of Parts, for config.views; cropped: its images are [B, V, h, w, C], cut out."""
    chosen = list(view_settings(sections).values())
    if cropped:
        orders = [tuple(name for name in s.order if name != "crop") for s in chosen]
        chosen = [s._replace(order=order) for s, order in zip(chosen, orders, strict=True)]
    views = [augment.batched(augment.pipeline(**settings._asdict())) for settings in chosen]

    def make(keys, images):
        def draw(number, view):
            view_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, jnp.uint32(number))
            return view(view_keys, images[:, number] if cropped else images)

        return tuple(draw(number, view) for number, view in enumerate(views))

    return make


def host_crops(config: ConfigDict, dtype: np.dtype, num_channels: int) -> data.Crops:
    """What the host has to cut for config.views.

    Raises ValueError where it cannot: it cuts first of all, crops of one size, by one method, out of
    pictures in grey or RGB of 8 bits.
    """
    views = view_settings(config.views)
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
                f"the host cannot crop, since {problem}; set data.crops='device', and data.image_size "
                "where pictures differ in size."
            )
    ((size, method, antialias),) = shared
    boxes = tuple(
        {"area": tuple(s.area), "ratio": tuple(s.ratio), "attempts": s.crop_attempts}
        for s in views.values()
    )
    return data.Crops(boxes, augment.height_and_width(size), method, antialias)


def _check_channels(config, channels):
    """Hue is there in RGB alone, and a mean has a number for every channel or one for all."""
    name, settings = config.data.name, view_settings(config.views)
    for view, s in settings.items():
        turns = s.hue if "jitter" in s.order and s.jitter_probability > 0 else 0.0
        if turns and channels != 3:
            raise ValueError(
                f"views.{view} turns the hue by up to {turns:g}, which is there in RGB alone, and "
                f"the pictures of {name!r} have {channels} channels; set config.views.{view}.hue = "
                "0 in the config file."
            )
    means = {f"views.{view}": s.mean for view, s in settings.items()}
    means["evaluate.view"] = config.evaluate.view.get("mean")
    for section, mean in means.items():
        if mean is not None and len(mean) not in (1, channels):
            raise ValueError(
                f"{section} subtracts a mean of {len(mean)} numbers, and the pictures of {name!r} "
                f"have {channels} channels; set config.{section}.mean and config.{section}.std to "
                "one number, as in (0.5,), to one per channel, or to None."
            )


def _evaluation_view(config) -> Callable:
    first = next(iter(config.views.values()))
    shared = {key: first[key] for key in ("size", "mean", "std") if key in first}
    return jax.vmap(augment.evaluation_view(**{**shared, **config.evaluate.view}))


def _encode(config, nets, evaluation_view) -> Callable:
    on, encoder = config.evaluate.on, nets["encoder"]
    chains = {"features": {"encoder": encoder}}
    if "projector" in nets:
        chains["projections"] = {"encoder": encoder, "projector": nets["projector"]}
    if "patch_size" in config.method:
        cut = {"size": config.method.patch_size, "stride": config.method.patch_stride}
        chains["patches"] = {"encoder": networks.patchwise(encoder, **cut)}
    if on not in chains:
        raise ValueError(f"config.evaluate.on {on!r} must be {' or '.join(chains)}.")

    def encode(params, stats, images):
        x = evaluation_view(images)
        for name, net in chains[on].items():
            x, _ = net.apply(params[name], stats[name], x, train=False)
        return jnp.mean(x, axis=(1, 2)) if on == "patches" else x

    return encode
