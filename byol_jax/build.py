"""Turns a config into parts: the one place where a section's names meet the functions they mean."""

import functools
import inspect
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from byol_jax import ema, methods, networks, optimizers, probe, sections, views
from byol_jax import encoder as encoders

PRECISIONS = ("float32", "bfloat16")


class Parts(NamedTuple):
    """What an experiment is made of.

    make_views(keys, images) -> tuple of views; evaluation_view(images) -> float [B, h, w, C].
    encode(params, stats, images) -> what is evaluated, [B, F].  schedules: step -> learning_rate,
    and decay, where the method has one.
    mask: of the optimizer, params -> pytree of bool.
    """

    method: methods.Method
    optimizer: optax.GradientTransformation
    make_views: Callable
    evaluation_view: Callable
    encode: Callable
    schedules: dict[str, optax.Schedule]
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
        views.check_channels(config, num_channels)
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
    evaluation_view = views.evaluation_view(config)
    return Parts(
        method=method,
        optimizer=optimizer,
        make_views=views.make_views(config, cropped=cropped),
        evaluation_view=evaluation_view,
        encode=_encode(config, nets, evaluation_view),
        schedules={"learning_rate": schedule, **_decay(config.method, total_steps)},
        peak_learning_rate=peak,
        mask=mask,
        online_probe=online_probe,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
    )


def _networks(config, axis_name) -> dict[str, networks.Network]:
    if config.precision not in PRECISIONS:
        raise ValueError(f"precision {config.precision!r} must be one of {', '.join(PRECISIONS)}.")
    norm = _norm(dict(config.batch_norm), axis_name)
    how = {"batch_norm": norm, "dtype": config.precision, "remat": config.remat}
    encoder = sections.call("encoder", networks.ENCODERS, config.encoder, **how)
    if config.start_from is not None:
        encoder = _started(encoder, config.start_from)
    nets = {"encoder": encoder}
    for head in ("projector", "predictor"):
        if config.get(head):
            nets[head] = _head(head, config[head], norm, config.precision)
    if config.get("context"):
        arguments = {"name": "row_context", **config.context}
        known = {"row_context": networks.row_context}
        nets["context"] = sections.call("context", known, arguments, dtype=config.precision)
    return nets


def _started(encoder, file) -> networks.Network:
    """The encoder whose first arrays are those of a file."""
    params, stats, _ = encoders.file.read(file)
    return networks.starting_from(encoder, params, stats)


def _norm(arguments, axis_name):
    kind, sync = arguments.pop("kind", "batch"), arguments.pop("sync", True)
    if kind not in networks.NORMS:
        raise ValueError(f"config.batch_norm.kind {kind!r} must be {' or '.join(networks.NORMS)}.")
    module = networks.NORMS[kind]
    fields = [f for f in module.__dataclass_fields__ if f not in ("parent", "name")]
    for argument in arguments:
        sections.check_argument("batch_norm", f"{kind} norm", argument, [*fields, "kind", "sync"])
    if kind == "batch":
        arguments["axis_name"] = axis_name if sync else None
    return functools.partial(module, **arguments)


def _head(section, given, norm, precision):
    arguments = {"name": "mlp", **given}
    use = {True: norm, False: None}[arguments.pop("batch_norm", True)]
    return sections.call(section, {"mlp": networks.mlp}, arguments, batch_norm=use, dtype=precision)


def _method(config, nets, derived, num_classes):
    factory = methods.METHODS.get(config.method.get("name"))
    keys = config.batch_size * (2 if config.method.get("symmetric") else 1)  # of one step
    if config.method.get("capacity", keys) < keys:
        raise ValueError(
            f"the queue (method.capacity {config.method.capacity}) is smaller than the {keys} keys "
            f"of a step (batch_size {config.batch_size}); choose {keys} or more."
        )
    if factory is not None and "predictor" in nets:
        sections.check_argument(
            "predictor", config.method.name, "predictor", [*_parameters(factory)]
        )
    if config.method.get("name") == "supervised" and num_classes is None:
        raise ValueError(
            f"the method 'supervised' needs labels and data set {config.data.name!r} has none; "
            "choose a self-supervised method, or prepare it from subfolders named after classes."
        )
    return sections.call("method", methods.METHODS, config.method, **nets, **derived)


def _decay(given, total_steps) -> dict[str, Callable]:
    parameters = _parameters(methods.METHODS[given.name])
    defaults = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
    arguments = {**defaults, **given}
    if "decay" not in arguments:
        return {}
    if arguments.get("decay_schedule") == "cosine":
        return {"decay": lambda step: ema.cosine_decay(arguments["decay"], step, total_steps)}
    return {"decay": lambda step: arguments["decay"]}


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
    return peak, sections.call("schedule", optimizers.SCHEDULES, arguments, **run)


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
    optimizer = sections.call(section, optimizers.OPTIMIZERS, arguments, **derived)
    if multipliers:
        optimizer = optax.chain(optimizer, optimizers.scale_parts(multipliers))
    factory = optimizers.OPTIMIZERS[arguments["name"]]
    return optimizer, arguments.get("mask", _parameters(factory)["mask"].default)


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
