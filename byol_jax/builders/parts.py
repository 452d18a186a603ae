"""The parts of an experiment: each section of a checked config becomes the object that it names."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from byol_jax import encoders, errors, methods, networks, optimizers, probe
from byol_jax.builders import views
from byol_jax.config import sections


class Parts(NamedTuple):
    """What an experiment is made of.

    make_views(keys, images) -> tuple of views; evaluation_view(images) -> float [B, h, w, C].
    encode(params, stats, images) -> what is evaluated, [B, F].  schedules: step -> learning_rate,
    and the method's.  mask: of the optimizer, params -> pytree of bool.
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
    """The parts of a config that config.check.check lets through, for a training split.

    Args:
        config: the experiment.
        num_examples: of the training split.
        num_classes: of its labels; None without labels.
        axis_name: the device axis of the step.
        num_channels: of the images; None leaves the views unchecked against them.
        cropped: batches come with their crops cut, so that make_views does not cut them.

    Raises:
        UserError: where the config does not suit the data, or a factory refuses its arguments.
    """
    if num_channels is not None:
        views.check_channels(config, num_channels)
    total_steps, steps_per_epoch = _count_steps(config, num_examples)
    nets = _networks(config, axis_name)
    method = _method(config, nets, num_examples, total_steps, axis_name)
    _check_labels(config, method, num_classes)
    peak, schedule = _schedule(config, total_steps, steps_per_epoch)
    optimizer = _optimizer("optimizer", config.optimizer, learning_rate=schedule)
    online_probe = None
    if num_classes is not None:
        online_probe = probe.Probe(num_classes, _optimizer("probe", config.probe))
    make_views = views.make_views(config, cropped=cropped)
    evaluation_view = views.evaluation_view(config)
    return Parts(
        method=method,
        optimizer=optimizer,
        make_views=make_views,
        evaluation_view=evaluation_view,
        encode=_encode(config, nets, method, evaluation_view),
        schedules={"learning_rate": schedule, **method.schedules},
        peak_learning_rate=peak,
        mask=_mask(config.optimizer),
        online_probe=online_probe,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
    )


def _count_steps(config: ConfigDict, num_examples: int) -> tuple[int, int]:
    """The steps of the run, and of an epoch."""
    if num_examples < config.batch_size:
        raise errors.UserError(
            f"batch_size ({config.batch_size}) is larger than the {num_examples} training "
            f"examples of data.train_split {config.data.train_split!r}; choose a smaller one.",
            section="batch_size",
            value=config.batch_size,
        )
    steps_per_epoch = num_examples // config.batch_size
    total_steps = max(round(config.epochs * steps_per_epoch), 1)
    if total_steps >= 2**31:
        raise errors.UserError(
            f"epochs {config.epochs} of {steps_per_epoch} steps are {total_steps} steps, and they "
            "are counted in int32; choose fewer epochs.",
            section="epochs",
            value=config.epochs,
        )
    return total_steps, steps_per_epoch


def _call(path: str, section: Mapping[str, Any], **supplied) -> Any:
    """Calls the factory of a section with the section's arguments and what it takes of supplied."""
    kind = sections.KINDS[path]
    arguments = {"name": kind.name, **section}
    factory = kind.factories[arguments.pop("name")]
    parameters = inspect.signature(factory).parameters
    taken = {name: value for name, value in supplied.items() if name in parameters}
    with errors.naming_section(path, section):
        return factory(**taken, **arguments)


def _networks(config: ConfigDict, axis_name: str | None) -> dict[str, networks.Network]:
    norm = _norm(config, axis_name)
    encoder = _network(
        config, "encoder", batch_norm=norm, dtype=config.precision, remat=config.remat
    )
    if config.start_from is not None:
        encoder = _started(encoder, config.start_from)
    nets = {"encoder": encoder}
    for head in ("projector", "predictor"):
        if config.get(head):
            normalized = config[head].get("batch_norm", True)
            nets[head] = _network(
                config, head, batch_norm=norm if normalized else None, dtype=config.precision
            )
    if config.get("context"):
        nets["context"] = _network(config, "context", dtype=config.precision)
    return nets


def _network(config: ConfigDict, path: str, **supplied) -> networks.Network:
    section = {name: value for name, value in config[path].items() if name not in supplied}
    network = _call(path, section, **supplied)
    return errors.wrap_functions(path, _with_views(config, path), network)


def _with_views(config: ConfigDict, path: str) -> dict[str, Any]:
    """What an error of a network or a method quotes: its section and what it works with."""
    sizes = {name: view.get("size", "its own") for name, view in config.views.items()}
    return {**config[path], "batch_norm": dict(config.batch_norm), "views' sizes": sizes}


def _started(encoder: networks.Network, file: str) -> networks.Network:
    """The encoder whose first arrays are those of a file."""
    with errors.naming_section("start_from", file):
        params, stats, _ = encoders.file.read(file)
    return networks.starting_from(encoder, params, stats)


def _norm(config: ConfigDict, axis_name: str | None) -> Callable:
    arguments = dict(config.batch_norm)
    kind = arguments.pop("kind", "batch")
    sync = arguments.pop("sync", True)
    if kind == "batch":
        arguments["axis_name"] = axis_name if sync else None
    return functools.partial(networks.NORMS[kind], **arguments)


def _method(config, nets, num_examples, total_steps, axis_name) -> methods.Method:
    method = _call(
        "method",
        config.method,
        **nets,
        num_examples=num_examples,
        batch_size=config.batch_size,
        total_steps=total_steps,
        axis_name=axis_name,
    )
    return errors.wrap_functions("method", _with_views(config, "method"), method)


def _check_labels(config: ConfigDict, method: methods.Method, num_classes: int | None) -> None:
    if method.needs_labels and num_classes is None:
        raise errors.UserError(
            f"the method {config.method.name!r} needs labels and data set {config.data.name!r} has "
            "none; choose a self-supervised method, or prepare it from subfolders named after "
            "classes.",
            section="method.name",
            value=config.method.name,
        )


def _schedule(config, total_steps: int, steps_per_epoch: int) -> tuple[float, optax.Schedule]:
    """The peak of the learning rate, and its schedule."""
    arguments = dict(config.schedule)
    rate = arguments.pop("learning_rate")
    scaling = arguments.pop("scaling", "linear")
    factors = {"none": 1.0, "linear": config.batch_size / 256, "sqrt": config.batch_size**0.5}
    peak = rate * factors[scaling]
    schedule = _call(
        "schedule", arguments, peak=peak, total_steps=total_steps, steps_per_epoch=steps_per_epoch
    )
    return peak, errors.naming_section("schedule", config.schedule)(schedule)


def _optimizer(path: str, section: ConfigDict, **supplied) -> optax.GradientTransformation:
    arguments = dict(section)
    multipliers = arguments.pop("multipliers", {})
    if "mask" in arguments:
        arguments["mask"] = optimizers.MASKS[arguments["mask"]]
    optimizer = _call(path, arguments, **supplied)
    if multipliers:
        optimizer = optax.chain(optimizer, optimizers.scale_parts(dict(multipliers)))
    return errors.wrap_functions(path, section, optimizer)


def _mask(section: ConfigDict) -> Callable:
    """Which parameters the optimizer decays, and LARS adapts."""
    if "mask" in section:
        return optimizers.MASKS[section.mask]
    parameters = inspect.signature(optimizers.OPTIMIZERS[section.name]).parameters
    return parameters["mask"].default if "mask" in parameters else optimizers.everything


def _encode(config, nets, method: methods.Method, evaluation_view: Callable) -> Callable:
    """The function from images to what config.evaluate.on names."""
    on = config.evaluate.on
    chains = {"features": {"encoder": nets["encoder"]}}
    if "projector" in nets:
        chains["projections"] = {"encoder": nets["encoder"], "projector": nets["projector"]}
    if method.patches is not None:
        chains["patches"] = {"encoder": networks.patchwise(nets["encoder"], **method.patches)}
    sections.check_choice("evaluate.on", on, chains)

    def encode(params, stats, images):
        x = evaluation_view(images)
        for name, net in chains[on].items():
            x, _ = net.apply(params[name], stats[name], x, train=False)
        return jnp.mean(x, axis=(1, 2)) if on == "patches" else x

    return encode
