"""The check of a config: one pass over all sections, before anything is built or written.

What it lets through, `builders` calls without looking again. Whether the config suits its data and
devices shows when these are there: see builders.parts, builders.views and training.start.
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
STEPS = ("last", "best")  # beside numbers, in config.evaluate.steps
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
_RANGES = {  # of arguments that mean the same in every section: in words, and as a test
    "temperature": ("above 0", lambda value: value > 0),
    "decay": ("in [0, 1]", lambda value: 0 <= value <= 1),
    "weight_decay": ("0 or more", lambda value: value >= 0),
    "warmup_epochs": ("0 or more", lambda value: value >= 0),
    "k": ("1 or more", lambda value: value >= 1),
}
_EXAMPLES = {  # how to give a section that is missing
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
    """Checks every field and section of an experiment by itself.

    Args:
        config: the experiment.
        complete: False lets fields of default() be missing, and unknown ones be there, as in
            configs saved by older versions.

    Raises:
        UserError: naming the field, what it may be, and the nearest known name.
    """
    check_fields(config, complete=complete)
    if not config.views:
        raise errors.UserError(
            "config.views is empty; give one section per view, each with a name.", section="views"
        )
    for view in config.views:
        _check_section(f"views.{view}", config)
    _check_section("batch_norm", config)
    absent = {name for name in sections.NETWORKS if not config.get(name)}
    present = [path for path in sections.KINDS if path not in absent]
    for path in present:
        _check_section(path, config)
    for path in present:  # what is missing shows once every section is known to be right
        _check_complete(path, config)
    _check_choices(config)
    _check_predictor(config)
    check_evaluation(config)


def check_fields(config: ConfigDict, *, complete: bool = True) -> None:
    """Checks the fields that default() has, and no section that picks a factory; see check."""
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

    Raises:
        UserError: as check does.
    """
    section = config.evaluate
    for name in section.baselines:
        sections.check_choice("evaluate.baselines", name, BASELINES)
    for name in section.protocols:
        sections.check_choice("evaluate.protocols", name, protocols.PROTOCOLS)
    for name in section.steps:
        if not sections.fits(name, int) or name < 1:
            sections.check_choice("evaluate.steps", name, (*STEPS, "a number from 1"))
    for name, options in section.options.items():
        sections.check_argument("evaluate.options", "it", name, [*protocols.PROTOCOLS])
        _check_arguments(f"evaluate.options.{name}", name, options, config)
    _check_arguments("evaluate.view", "augment.evaluation_view", section.view, config)


def _check_closed(path, section, config, complete):
    """A section that has the fields of default(), no others, each of its type."""
    dot = f"{path}." if path else ""
    known = sections.accepted(path, config)
    if complete:
        _check_names(dot, section, known)
    for name in sorted(set(section) & set(known)):
        sections.check_type(f"{dot}{name}", section[name], known[name])
    parts = {"": "views", "evaluate": "options"}.get(path)
    for part, value in (section.get(parts) or {}).items() if parts else ():
        sections.check_type(f"{dot}{parts}.{part}", value, Mapping[str, Any])


def _check_names(dot: str, section: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for name in section:
        if name not in known:
            raise errors.UserError(
                f"there is no config.{dot}{name}{errors.near(name, known)}; there are "
                f"{', '.join(sorted(known))}.",
                section=f"{dot}{name}",
            )
    for name in known:
        if name not in section and name not in sections.OPTIONAL:
            raise errors.UserError(
                f"config.{dot}{name} is missing; begin with config.default() of byol_jax.config, "
                "which has it, and replace a section whole only with all of its fields.",
                section=f"{dot}{name}",
            )


def _check_section(path: str, config: ConfigDict) -> None:
    """A section that picks a factory: its name, and the names and types of its arguments."""
    section = sections.value_at(config, path) or {}
    name = sections.name_of(path, section)
    label = f"{name} norm" if path == "batch_norm" else name
    _check_arguments(path, label, section, config)


def _check_arguments(path, label, arguments, config):
    known = sections.accepted(path, config)
    for argument, value in arguments.items():
        sections.check_argument(path, label, argument, list(known))
        sections.check_type(f"{path}.{argument}", value, known[argument])
        _check_range(f"{path}.{argument}", argument, value)


def _check_range(path: str, argument: str, value: Any) -> None:
    """What holds for an argument of this name in every section."""
    if argument not in _RANGES or not sections.fits(value, float):
        return
    words, holds = _RANGES[argument]
    if not holds(value):
        raise errors.UserError(
            f"config.{path} is {value}; it must be {words}.", section=path, value=value
        )


def _check_complete(path: str, config: ConfigDict) -> None:
    missing = sections.missing(path, config)
    if not missing:
        return
    name = sections.name_of(path, config.get(path) or {})
    first = missing[0]
    place = f"config.{path}.{first}"
    if first in sections.NETWORKS:
        place = f"the section config.{first}, as --config.{first}.{_EXAMPLES[first]}"
    raise errors.UserError(
        f"{path} {name!r} needs {', '.join(missing)}: give it in {place}.", section=path
    )


def _check_choices(config: ConfigDict) -> None:
    for path, known in _CHOICES.items():
        value = sections.value_at(config, path)
        if value is not None:
            sections.check_choice(path, value, known)


def _check_predictor(config: ConfigDict) -> None:
    """A predictor needs a method that has one, and predicts the projector's outputs."""
    if not config.get("predictor"):
        return
    if not sections.takes("method", config, "predictor"):
        raise errors.UserError(
            f"config.predictor: the method {config.method.name!r} takes no predictor; remove the "
            "section, by flag with --config.predictor='{}', or choose a method that takes one.",
            section="predictor",
        )
    widths = {name: config[name].get("widths") for name in ("predictor", "projector")}
    last = {name: each[-1] for name, each in widths.items() if isinstance(each, Sequence) and each}
    if len(set(last.values())) > 1:
        raise errors.UserError(
            f"config.predictor.widths ends in {last['predictor']} and config.projector.widths in "
            f"{last['projector']}; the one predicts the other: end both in the same width.",
            section="predictor.widths",
            value=widths["predictor"],
        )
