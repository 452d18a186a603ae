"""Checks a config in one pass over all sections, before anything is built or written.

`builders` relies on these checks. Whether the config suits the data and the devices is checked
later, once these are open: see builders.parts, builders.views and training.start.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from byol_jax import errors, optimizers
from byol_jax.config import sections
from byol_jax.evaluation import protocols

PRECISIONS = ("float32", "bfloat16")
MODES = ("auto", "resident", "streamed")
CROPS = ("auto", "device", "host")
BASELINES = ("untrained", "raw pixels")
STEPS = ("last", "best")  # config.evaluate.steps accepts these and step numbers
ON = ("features", "projections", "patches")
_CHOICES = {
    "precision": PRECISIONS,
    "data.mode": MODES,
    "data.crops": CROPS,
    "schedule.scaling": sections.SCALINGS,
    "optimizer.mask": optimizers.MASKS,
    "probe.mask": optimizers.MASKS,
    "evaluate.on": ON,
}
_RANGES = {  # arguments with the same meaning in every section: (range in words, test)
    "temperature": ("above 0", lambda value: value > 0),
    "decay": ("in [0, 1]", lambda value: 0 <= value <= 1),
    "weight_decay": ("0 or more", lambda value: value >= 0),
    "warmup_epochs": ("0 or more", lambda value: value >= 0),
    "k": ("1 or more", lambda value: value >= 1),
}
_EXAMPLES = {  # flags that create a missing section
    "encoder": "name=resnet50",
    "projector": "widths='(512, 128)'",
    "predictor": "widths='(512, 128)'",
    "context": "width=256",
}
_LEAST = {
    "seed": 0,
    "batch_size": 1,
    "microbatches": 1,
    "most_skipped": 0,
    "log_every_steps": 1,
    "checkpoint_every_steps": 1,
    "keep_checkpoints": 1,
    "data.image_size": 1,
    "data.workers": 0,
    "evaluate.data.image_size": 1,
    "batch_norm.groups": 1,
}


def check(config: ConfigDict, *, complete: bool = True) -> None:
    """Checks every field and section of a config, independently of the data and the devices.

    Args:
        config: The experiment's config.
        complete: False accepts missing and unknown fields, as in configs that older versions
            saved.

    Raises:
        UserError: If a field or section is wrong. The message names it, the valid values and the
            closest valid name.
    """
    check_fields(config, complete=complete)
    if not config.views:
        raise errors.UserError(
            "config.views is empty; add one section per view, with the name of a preset.",
            section="views",
        )
    for view in config.views:
        _check_section(f"views.{view}", config)
    _check_section("batch_norm", config)
    absent = {name for name in sections.NETWORKS if not config.get(name)}
    present = [path for path in sections.KINDS if path not in absent]
    for path in present:
        _check_section(path, config)
    # After all names and types are right, since a mistyped argument also looks like a missing one.
    for path in present:
        _check_required(path, config)
    _check_choices(config)
    _check_predictor(config)
    check_evaluation(config)


def check_fields(config: ConfigDict, *, complete: bool = True) -> None:
    """Checks the fields that every config has, but not the arguments of networks, methods etc.

    Args:
        config: The experiment's config.
        complete: False accepts missing and unknown fields, as in `check`.

    Raises:
        UserError: If a field is missing, unknown, of the wrong type or out of range.
    """
    _check_closed("", config, config, complete)
    for path in ("data", "evaluate", "evaluate.data"):
        section = sections.value_at(config, path)
        if section is not None:
            _check_closed(path, section, config, complete)
    if config.get("epochs", 1) <= 0:
        raise errors.UserError(
            f"config.epochs is {config.epochs}; it must be above 0.", section="epochs"
        )
    for path, least in _LEAST.items():
        value = sections.value_at(config, path)
        if sections.fits(value, int) and value < least:
            raise errors.UserError(
                f"config.{path} is {value}; it must be {least} or more.", section=path, value=value
            )


def check_evaluation(config: ConfigDict) -> None:
    """Checks config.evaluate: protocols, baselines, steps, options and the view.

    Args:
        config: The experiment's config.

    Raises:
        UserError: If a value or an argument is unknown or of the wrong type.
    """
    section = config.evaluate
    for name in section.baselines:
        sections.check_choice("evaluate.baselines", name, BASELINES)
    for name in section.protocols:
        sections.check_choice("evaluate.protocols", name, protocols.PROTOCOLS)
    for step in section.steps:
        if not sections.fits(step, int) or step < 1:
            sections.check_choice("evaluate.steps", step, (*STEPS, "a number from 1"))
    for name, options in section.options.items():
        sections.check_argument("evaluate.options", "this section", name, protocols.PROTOCOLS)
        _check_arguments(f"evaluate.options.{name}", name, options, config)
    _check_arguments("evaluate.view", "augment.evaluation_view", section.view, config)


def _check_closed(
    path: str, section: Mapping[str, Any], config: ConfigDict, complete: bool
) -> None:
    """Checks that a section has the same fields as in default(), with the right types."""
    prefix = f"{path}." if path else ""
    types_by_name = sections.accepted(path, config)
    if complete:
        _check_names(path, section, types_by_name)
    for name in sorted(set(section) & set(types_by_name)):
        sections.check_type(f"{prefix}{name}", section[name], types_by_name[name])
    subsections = {"": "views", "evaluate": "options"}.get(path)
    if subsections is None:
        return
    for name, value in (section.get(subsections) or {}).items():
        sections.check_type(f"{prefix}{subsections}.{name}", value, Mapping[str, Any])


def _check_names(path: str, section: Mapping[str, Any], choices: Mapping[str, Any]) -> None:
    prefix = f"{path}." if path else ""
    label = f"config.{path}" if path else "config"
    names = ", ".join(sorted(choices))
    for name in section:
        if name not in choices:
            hint = errors.near(name, choices)
            raise errors.UserError(
                f"{label} has no field {name!r}{hint}; it has {names}.",
                section=f"{prefix}{name}",
            )
    for name in choices:
        if name not in section and name not in sections.OPTIONAL:
            raise errors.UserError(
                f"config.{prefix}{name} is missing. Start from byol_jax.config.default(), which "
                "has every field, and if you replace a section, give all of its fields.",
                section=f"{prefix}{name}",
            )


def _check_section(path: str, config: ConfigDict) -> None:
    """Checks the factory that a config section selects, and the arguments for the factory."""
    section = sections.value_at(config, path) or {}
    name = sections.name_of(path, section)
    label = f"{name} norm" if path == "batch_norm" else name
    _check_arguments(path, label, section, config)


def _check_arguments(
    path: str, label: str, arguments: Mapping[str, Any], config: ConfigDict
) -> None:
    types_by_name = sections.accepted(path, config)
    for argument, value in arguments.items():
        sections.check_argument(path, label, argument, types_by_name)
        sections.check_type(f"{path}.{argument}", value, types_by_name[argument])
        _check_range(f"{path}.{argument}", argument, value)


def _check_range(path: str, argument: str, value: Any) -> None:
    """Checks the range of a factory's argument, such as a temperature, which must be above 0."""
    if argument not in _RANGES or not sections.fits(value, float):
        return
    range_text, contains = _RANGES[argument]
    if not contains(value):
        raise errors.UserError(
            f"config.{path} is {value}; it must be {range_text}.", section=path, value=value
        )


def _check_required(path: str, config: ConfigDict) -> None:
    missing = sections.missing(path, config)
    if not missing:
        return
    name = sections.name_of(path, config.get(path) or {})
    names = ", ".join(missing)
    first = missing[0]
    setting = f"config.{path}.{first}"
    if first in sections.NETWORKS:
        setting = f"the section config.{first}, for example --config.{first}.{_EXAMPLES[first]}"
    raise errors.UserError(f"the {path} {name!r} needs {names}; set {setting}.", section=path)


def _check_choices(config: ConfigDict) -> None:
    for path, choices in _CHOICES.items():
        value = sections.value_at(config, path)
        if value is not None:
            sections.check_choice(path, value, choices)


def _check_predictor(config: ConfigDict) -> None:
    """Checks that the method takes a predictor, whose output must be as wide as the projector's."""
    if not config.get("predictor"):
        return
    method = config.method.name
    if not sections.takes("method", config, "predictor"):
        raise errors.UserError(
            f"config.predictor: the method {method!r} takes no predictor; remove the section "
            "(as a flag: --config.predictor='{}'), or choose a method that takes one.",
            section="predictor",
        )
    widths = {name: config[name].get("widths") for name in ("predictor", "projector")}
    last = {
        name: numbers[-1]
        for name, numbers in widths.items()
        if isinstance(numbers, Sequence) and numbers
    }
    if len(set(last.values())) > 1:
        predictor_width = last["predictor"]
        projector_width = last["projector"]
        raise errors.UserError(
            f"config.predictor.widths ends in {predictor_width} and config.projector.widths ends "
            f"in {projector_width}. The predictor predicts projections, so both must end in the "
            "same width.",
            section="predictor.widths",
            value=widths["predictor"],
        )
