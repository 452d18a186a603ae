"""Whether a config has the fields of an experiment, each of its type and in its range."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from byol_jax import config as fields
from byol_jax import sections

_CLOSED = ("data", "evaluate", "evaluate.data")  # sections whose fields are always the same
_OPTIONAL = ("predictor",)
_OF_SECTIONS = ("views", "evaluate.options")  # every field is a section
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
    """Raises ValueError, naming the field, where it is not as config.default() has it.

    complete: False lets fields be missing, or be there that are not known, as in runs of old.
    """
    _check_section("", config, fields.default(), complete)
    if config.get("epochs", 1) <= 0:
        raise ValueError(f"config.epochs is {config.epochs}; it must be above 0.")
    for path, least in _LEAST.items():
        value = _get(config, path)
        if value is not None and value < least:
            raise ValueError(f"config.{path} is {value}; it must be {least} or more.")


def _get(config, path) -> Any:
    for name in path.split("."):
        config = config.get(name) if hasattr(config, "items") else None
    return config if not path.startswith("batch_norm") or sections.fits(config, int) else None


def _check_section(path, given, known, complete):
    dot = f"{path}." if path else ""
    if complete:
        _check_names(dot, given, known)
    for name in sorted(set(given) & set(known)):
        here, default = f"{dot}{name}", known[name]
        if not isinstance(default, ConfigDict):
            _check_value(here, given[name], default, known.get_type(name))
            continue
        _check_is_section(here, given[name])
        if here in _CLOSED:
            _check_section(here, given[name], default, complete)
        for part, value in given[name].items() if here in _OF_SECTIONS else ():
            _check_is_section(f"{here}.{part}", value)
    for name in set(given) & set(_OPTIONAL):
        _check_is_section(name, given[name])


def _check_names(dot, given, known):
    for name in given:
        if name not in known and f"{dot}{name}" not in _OPTIONAL:
            raise ValueError(
                f"there is no config.{dot}{name}{sections.near(name, known)}; there are "
                f"{', '.join(sorted(known))}."
            )
    for name in known:
        if name not in given:
            raise ValueError(
                f"config.{dot}{name} is missing; begin with config.default() of byol_jax.config, "
                "which has it, and replace a section whole only with all of its fields."
            )


def _check_value(path, value, default, kind):
    sections.check_type(path, value, kind if default is not None else kind | None)


def _check_is_section(path, value):
    sections.check_type(path, value, Mapping[str, Any])
