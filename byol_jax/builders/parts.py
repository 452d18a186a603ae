"""Builds the method, the optimizer and the other parts of an experiment from its config."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from byol_jax import encoders, errors, methods, networks, optimizers, probe, train_step
from byol_jax.builders import views
from byol_jax.config import sections


class Encode(Protocol):
    """A function that computes the features of images for the evaluation."""

    def __call__(
        self, params: dict[str, Any], stats: dict[str, Any], images: jax.Array
    ) -> jax.Array:
        """Preprocesses images and runs the networks that config.evaluate.on selects.

        Args:
            params: Parameters of the networks.
            stats: Batch-norm statistics of the networks.
            images: Images [B, H, W, C] of the data set.

        Returns:
            Features [B, F].
        """
        ...


class Parts(NamedTuple):
    """The parts of an experiment, such as its method and optimizer, built from its config.

    Attributes:
        method: The self-supervised method.
        optimizer: The optimizer of the networks.
        make_views: Creates the views of a batch.
        evaluation_view: Preprocesses images [B, H, W, C] for evaluation: float [B, h, w, C].
        encode: Computes the features to evaluate.
        schedules: Functions of the step by name: learning_rate and the method's schedules.
        peak_learning_rate: The highest learning rate of the schedule.
        mask: The optimizer's mask, a function from params to a pytree of bool.
        online_probe: Linear classifier trained together with the networks; None without labels.
        total_steps: Number of steps of the run.
        steps_per_epoch: Number of steps of an epoch.
    """

    method: methods.Method
    optimizer: optax.GradientTransformation
    make_views: train_step.MakeViews
    evaluation_view: Callable[[jax.Array], jax.Array]
    encode: Encode
    schedules: dict[str, Callable[[Any], Any]]
    peak_learning_rate: float
    mask: Callable[[Any], Any]
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
    """Builds the method, the optimizer and the other parts of an experiment from its config.

    Args:
        config: The experiment's config, which config.check.check accepts.
        num_examples: Number of examples in the training split.
        num_classes: Number of classes; None without labels.
        axis_name: Name of the device axis; None for one device.
        num_channels: Number of image channels; None does not check the views against them.
        cropped: True if the host cuts the crops, so that make_views does not.

    Returns:
        The parts.

    Raises:
        UserError: If the config does not suit the data, or a factory refuses its arguments.
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
    """Returns the total number of steps and the number of steps per epoch."""
    batch_size = config.batch_size
    if num_examples < batch_size:
        split = config.data.train_split
        raise errors.UserError(
            f"config.batch_size is {batch_size}, which is larger than the {num_examples} training "
            f"examples of config.data.train_split {split!r}; choose a smaller batch_size.",
            section="batch_size",
            value=batch_size,
        )
    epochs = config.epochs
    steps_per_epoch = num_examples // batch_size
    total_steps = max(round(epochs * steps_per_epoch), 1)
    if total_steps >= 2**31:
        raise errors.UserError(
            f"config.epochs is {epochs}: with {steps_per_epoch} steps per epoch, the run has "
            f"{total_steps} steps, more than int32 can represent; choose fewer epochs.",
            section="epochs",
            value=epochs,
        )
    return total_steps, steps_per_epoch


def _call(path: str, section: Mapping[str, Any], **supplied: Any) -> Any:
    """Calls the factory of a config section with the section's fields and further arguments."""
    kind = sections.KINDS[path]
    arguments = {"name": kind.name, **section}
    factory = kind.factories[arguments.pop("name")]
    parameters = inspect.signature(factory).parameters
    accepted = {name: value for name, value in supplied.items() if name in parameters}
    with errors.naming_section(path, section):
        return factory(**accepted, **arguments)


def _networks(config: ConfigDict, axis_name: str | None) -> dict[str, networks.Network]:
    norm = _norm(config, axis_name)
    encoder = _network(
        config, "encoder", batch_norm=norm, dtype=config.precision, remat=config.remat
    )
    if config.start_from is not None:
        encoder = _starting_from_file(encoder, config.start_from)
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


def _network(config: ConfigDict, path: str, **supplied: Any) -> networks.Network:
    section = {name: value for name, value in config[path].items() if name not in supplied}
    network = _call(path, section, **supplied)
    return errors.wrap_functions(path, _with_views(config, path), network)


def _with_views(config: ConfigDict, path: str) -> dict[str, Any]:
    """Formats a config section and related settings, for errors that the section causes."""
    sizes = {name: view.get("size", "its own") for name, view in config.views.items()}
    return {**config[path], "batch_norm": dict(config.batch_norm), "views' sizes": sizes}


def _starting_from_file(encoder: networks.Network, file: str) -> networks.Network:
    with errors.naming_section("start_from", file):
        params, stats, _ = encoders.file.read(file)
    return networks.starting_from(encoder, params, stats)


def _norm(config: ConfigDict, axis_name: str | None) -> functools.partial[Any]:
    arguments = dict(config.batch_norm)
    kind = arguments.pop("kind", "batch")
    sync = arguments.pop("sync", True)
    if kind == "batch":
        arguments["axis_name"] = axis_name if sync else None
    return functools.partial(networks.NORMS[kind], **arguments)


def _method(
    config: ConfigDict,
    nets: Mapping[str, networks.Network],
    num_examples: int,
    total_steps: int,
    axis_name: str | None,
) -> methods.Method:
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
        method_name = config.method.name
        data_name = config.data.name
        raise errors.UserError(
            f"the method {method_name!r} needs labels, but the data set {data_name!r} has none. "
            "Choose a self-supervised method, or prepare the data set from subfolders named after "
            "the classes.",
            section="method.name",
            value=method_name,
        )


def _schedule(
    config: ConfigDict, total_steps: int, steps_per_epoch: int
) -> tuple[float, optax.Schedule]:
    """Returns the peak learning rate and the schedule."""
    arguments = dict(config.schedule)
    rate = arguments.pop("learning_rate")
    scaling = arguments.pop("scaling", "linear")
    factors = {"none": 1.0, "linear": config.batch_size / 256, "sqrt": config.batch_size**0.5}
    peak = rate * factors[scaling]
    schedule = _call(
        "schedule", arguments, peak=peak, total_steps=total_steps, steps_per_epoch=steps_per_epoch
    )
    return peak, errors.naming_section("schedule", config.schedule)(schedule)


def _optimizer(path: str, section: ConfigDict, **supplied: Any) -> optax.GradientTransformation:
    arguments = dict(section)
    multipliers = arguments.pop("multipliers", {})
    if "mask" in arguments:
        arguments["mask"] = optimizers.MASKS[arguments["mask"]]
    optimizer = _call(path, arguments, **supplied)
    if multipliers:
        # Last in the chain, so that the factor is one of the learning rate.
        optimizer = optax.chain(optimizer, optimizers.scale_parts(dict(multipliers)))
    return errors.wrap_functions(path, section, optimizer)


def _mask(section: ConfigDict) -> Callable[[Any], Any]:
    """Returns the optimizer's mask: that of the config, or else the optimizer's default."""
    if "mask" in section:
        return optimizers.MASKS[section.mask]
    parameters = inspect.signature(optimizers.OPTIMIZERS[section.name]).parameters
    return parameters["mask"].default if "mask" in parameters else optimizers.everything


def _encode(
    config: ConfigDict,
    nets: Mapping[str, networks.Network],
    method: methods.Method,
    evaluation_view: Callable[[jax.Array], jax.Array],
) -> Encode:
    """Builds the function that computes the features of images for the evaluation."""
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
