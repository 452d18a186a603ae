"""Fields of a config changed by flags: --config.section.field=value."""

import ast
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from byol_jax import errors
from byol_jax.config import sections


def apply(config: ConfigDict, overrides: Sequence[tuple[str, str]]) -> list[str]:
    """Changes fields of a config in place.

    A field may be any that its section takes, whether or not the config mentions it, and a section
    may be absent. Where a section's name changes, the arguments that its new factory does not take
    are removed.

    Args:
        config: an experiment.
        overrides: (dotted name, text of the value); a text is read as Python writes the value, and
            a string needs no quotes.

    Returns:
        A line for each section from which arguments were removed.

    Raises:
        UserError: for an unknown field, naming the nearest, and for a value of another type.
    """
    notes = []
    with config.unlocked():
        for path, text in sorted(overrides, key=lambda override: not _is_name(override[0])):
            _set(config, path, _parse(config, path, text))
            if _is_name(path):
                notes += _remove_arguments(config, path.rpartition(".")[0])
    return notes


def _is_name(path: str) -> bool:
    """Whether a field is the name by which its section picks a factory; those are set first."""
    section, _, field = path.rpartition(".")
    return field == "name" and (section in sections.KINDS or section.startswith("views."))


def _set(config: ConfigDict, path: str, value: Any) -> None:
    *parents, field = path.split(".")
    section = config
    for name in parents:
        if section.get(name) is None:
            section[name] = ConfigDict()
        section = section[name]
    with section.ignore_type():
        section[field] = ConfigDict(value) if isinstance(value, dict) else value


def _remove_arguments(config: ConfigDict, path: str) -> list[str]:
    section = config
    for name in path.split("."):
        section = section[name]
    unknown = sorted(set(section) - set(sections.accepted(path, config)))
    for argument in unknown:
        del section[argument]
    if not unknown:
        return []
    return [
        f"--config.{path}.name={section.name}: left out {', '.join(unknown)} of the config file"
    ]


def _parse(config: ConfigDict, path: str, text: str) -> Any:
    """The value that a flag's text stands for, of the field's type."""
    kind = _kind(config, path)
    value = _literal(text)
    if value is None and sections.fits(None, kind):
        return None
    for candidate in (value, text, _boolean(text), _items(text, kind)):
        if candidate is not None and sections.fits(candidate, kind):
            return float(candidate) if _is_float(candidate, kind) else candidate
    if isinstance(value, str) and sections.fits({}, kind):
        raise errors.UserError(
            f"config.{path} is {errors.one_line(errors.literal(value))}, and must be a section of "
            f"fields; did you mean --config.{path}.name={errors.one_line(text)}?",
            section=path,
            value=value,
        )
    sections.check_type(path, value, kind)
    return value


def _kind(config: ConfigDict, path: str) -> Any:
    """The type of a field; raises UserError where there is no such field."""
    section, _, field = path.rpartition(".")
    label = f"config.{section}" if section else "config"
    fields = sections.accepted(section, config)
    if fields is None:
        raise errors.UserError(
            f"--config.{path}: {label} is no section; leave out .{field}.", section=path
        )
    if not field or (field not in fields and "*" not in fields):
        raise errors.UserError(
            f"--config.{path}: {label} has no {field!r}{errors.near(field, fields)}; it has "
            f"{', '.join(sorted(fields))}.",
            section=path,
        )
    return fields.get(field, fields.get("*"))


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _items(text: str, kind: Any) -> tuple | None:
    """A tuple written without its brackets and quotes: knn,linear."""
    origins = {typing.get_origin(one) or one for one in (kind, *typing.get_args(kind))}
    if not origins & {tuple, Sequence}:
        return None
    return tuple(_literal(item.strip()) for item in text.split(",") if item.strip())


def _is_float(value: Any, kind: Any) -> bool:
    """Whether a whole number was given for a field of floats."""
    kinds = {kind, *typing.get_args(kind)}
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return is_int and float in kinds and int not in kinds and not isinstance(kind, Mapping)
