"""Turns a config into parts: the one place where a section's names meet the functions they mean."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from byol_jax import ema, methods, networks, optimizers, probe, sections, told, views
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
            f"examples of data.train_split {config.data.train_split!r}; choose a smaller one."
        )
    if num_channels is not None:
        views.check_channels(config, num_channels)
    steps_per_epoch = num_examples // config.batch_size
    total_steps = max(round(config.epochs * steps_per_epoch), 1)
    if total_steps >= 2**31:
        raise ValueError(
            f"epochs {config.epochs} of {steps_per_epoch} steps are {total_steps} steps, and they "
            "are counted in int32; choose fewer epochs."
        )
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
    sections.check_choice("precision", config.precision, PRECISIONS)
    norm = _norm(dict(config.batch_norm), axis_name)
    how = {"batch_norm": norm, "dtype": config.precision, "remat": config.remat}
    encoder = _within(config, "encoder", networks.ENCODERS, config.encoder, **how)
    if config.start_from is not None:
        encoder = _started(encoder, config.start_from)
    nets = {"encoder": encoder}
    for head in ("projector", "predictor"):
        if config.get(head):
            nets[head] = _head(config, head, norm)
    if config.get("context"):
        arguments = {"name": "row_context", **config.context}
        known = {"row_context": networks.row_context}
        nets["context"] = _within(config, "context", known, arguments, dtype=config.precision)
    return nets


def _within(config, section, factories, given, **derived):
    """The network or method of a section, whose errors name it, and the views that it gets."""
    made = sections.call(section, factories, given, **derived)
    sizes = {name: view.get("size", "its own") for name, view in config.views.items()}
    about = {**given, "batch_norm": dict(config.batch_norm), "views' sizes": sizes}
    return told.every(section, about, made)


def _started(encoder, file) -> networks.Network:
    """The encoder whose first arrays are those of a file."""
    with told.of("start_from", {"file": file}):
        params, stats, _ = encoders.file.read(file)
    return networks.starting_from(encoder, params, stats)


def _norm(arguments, axis_name):
    kind, sync = arguments.pop("kind", "batch"), arguments.pop("sync", True)
    sections.check_choice("batch_norm.kind", kind, networks.NORMS)
    sections.check_type("batch_norm.sync", sync, bool)
    module = networks.NORMS[kind]
    hidden = ("parent", "name", "axis_name", "scale_init")
    accepted = {k: f.type for k, f in module.__dataclass_fields__.items() if k not in hidden}
    accepted |= {"kind": str, "sync": bool}
    sections.check_arguments("batch_norm", f"{kind} norm", arguments, accepted)
    if kind == "batch":
        arguments["axis_name"] = axis_name if sync else None
    return functools.partial(module, **arguments)


def _head(config, section, norm):
    arguments = {"name": "mlp", **config[section]}
    wanted = arguments.pop("batch_norm", True)
    sections.check_type(f"{section}.batch_norm", wanted, bool)
    how = {"batch_norm": norm if wanted else None, "dtype": config.precision}
    return _within(config, section, {"mlp": networks.mlp}, arguments, **how)


def _method(config, nets, derived, num_classes):
    sections.check("method", methods.METHODS, config.method, {*nets, *derived})
    factory = methods.METHODS[config.method.name]
    keys = config.batch_size * (2 if config.method.get("symmetric") else 1)  # of one step
    if config.method.get("capacity", keys) < keys:
        raise ValueError(
            f"the queue (method.capacity {config.method.capacity}) is smaller than the {keys} keys "
            f"of a step (batch_size {config.batch_size}); choose {keys} or more."
        )
    if "predictor" in nets:
        _check_predictor(config)
        sections.check_argument(
            "predictor", config.method.name, "predictor", [*_parameters(factory)]
        )
    if config.method.get("name") == "supervised" and num_classes is None:
        raise ValueError(
            f"the method 'supervised' needs labels and data set {config.data.name!r} has none; "
            "choose a self-supervised method, or prepare it from subfolders named after classes."
        )
    return _within(config, "method", methods.METHODS, config.method, **nets, **derived)


def _check_predictor(config):
    """It predicts what a projector gives."""
    told_of = {name: config[name].get("widths") for name in ("predictor", "projector")}
    last = {name: widths[-1] for name, widths in told_of.items() if widths}
    if len(set(last.values())) > 1:
        raise ValueError(
            f"config.predictor.widths ends in {last['predictor']} and config.projector.widths in "
            f"{last['projector']}; the one predicts the other: end both in the same width."
        )


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
    sections.check_type("schedule.learning_rate", rate, float)
    sections.check_choice("schedule.scaling", scaling, scales)
    peak = rate * scales[scaling]
    run = {"peak": peak, "total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    schedule = sections.call("schedule", optimizers.SCHEDULES, arguments, **run)
    return peak, told.of("schedule", given)(schedule)


def _optimizer(section, given, **derived):
    arguments = dict(given)
    multipliers = arguments.pop("multipliers", {})
    sections.check_type(f"{section}.multipliers", multipliers, Mapping[str, float])
    if "mask" in arguments:
        sections.check_choice(f"{section}.mask", arguments["mask"], optimizers.MASKS)
        arguments["mask"] = optimizers.MASKS[arguments["mask"]]
    optimizer = sections.call(section, optimizers.OPTIMIZERS, arguments, **derived)
    if multipliers:
        optimizer = optax.chain(optimizer, optimizers.scale_parts(dict(multipliers)))
    factory = optimizers.OPTIMIZERS[arguments["name"]]
    optimizer = told.every(section, given, optimizer)
    return optimizer, arguments.get("mask", _parameters(factory)["mask"].default)


def _encode(config, nets, evaluation_view) -> Callable:
    on, encoder = config.evaluate.on, nets["encoder"]
    chains = {"features": {"encoder": encoder}}
    if "projector" in nets:
        chains["projections"] = {"encoder": encoder, "projector": nets["projector"]}
    if "patch_size" in config.method:
        cut = {"size": config.method.patch_size, "stride": config.method.patch_stride}
        chains["patches"] = {"encoder": networks.patchwise(encoder, **cut)}
    sections.check_choice("evaluate.on", on, chains)

    def encode(params, stats, images):
        x = evaluation_view(images)
        for name, net in chains[on].items():
            x, _ = net.apply(params[name], stats[name], x, train=False)
        return jnp.mean(x, axis=(1, 2)) if on == "patches" else x

    return encode
