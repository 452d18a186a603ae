"""Sets config fields from command-line flags: --config.section.field=value."""

import ast
import typing
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from byol_jax import errors
from byol_jax.config import sections


def apply(config: ConfigDict, overrides: Sequence[tuple[str, str]]) -> list[str]:
    """Sets config fields from command-line flags, in place.

    A flag can set any field that its section accepts, even if the config does not contain the field
    or the section. The order of the flags does not matter: whole sections are set first, then
    names, then the other fields. If the name in a section changes, arguments that the new factory
    does not take are removed.

    Args:
        config: The experiment's config.
        overrides: Pairs of a field's dotted name and the text of its value. The text is a Python
            literal; a string needs no quotes.

    Returns:
        One message for each section from which arguments were removed.

    Raises:
        UserError: If a field is unknown or a value has the wrong type.
    """
    notes = []
    with config.unlocked():
        for path, text in sorted(overrides, key=_rank):
            _check_path(config, path)
            _set(config, path, _parse(config, path, text))
            if _is_name(path):
                notes += _remove_arguments(config, path)
    return notes


def _rank(override: tuple[str, str]) -> int:
    """Returns the sort key of an override; overrides are applied in the order of these keys.

    Whole sections come first, then the names of factories, then other fields.
    """
    path, text = override
    if isinstance(_literal(text), dict):
        return 0
    return 1 if _is_name(path) else 2


def _is_name(path: str) -> bool:
    """Returns whether a field selects the function that its section configures."""
    section, _, field = path.rpartition(".")
    if section == "batch_norm":
        return field == "kind"
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


def _remove_arguments(config: ConfigDict, name_path: str) -> list[str]:
    path = name_path.rpartition(".")[0]
    section = config
    for name in path.split("."):
        section = section[name]
    unknown = sorted(set(section) - set(sections.accepted(path, config)))
    for argument in unknown:
        del section[argument]
    if not unknown:
        return []
    name = section[name_path.rpartition(".")[2]]
    arguments = ", ".join(unknown)
    return [f"--config.{name_path}={name} removes arguments that {name} does not take: {arguments}"]


def _parse(config: ConfigDict, path: str, text: str) -> Any:
    """Converts the text of a flag to the type of its field."""
    section, _, field = path.rpartition(".")
    fields = sections.accepted(section, config)
    kind = fields.get(field, fields.get("*"))
    value = _literal(text)
    if value is None and sections.fits(None, kind):
        return None
    if isinstance(value, list):
        value = tuple(value)
    for candidate in (value, text, _boolean(text), _items(text, kind)):
        if candidate is not None and sections.fits(candidate, kind):
            return _to_float(candidate, kind)
    if sections.fits({}, kind):
        _refuse_section(path, text)
    sections.check_type(path, value, kind)
    return value


def _refuse_section(path: str, text: str) -> None:
    """Raises the UserError for a section that is set to something other than a dict."""
    hint = ""
    if text.startswith("{"):
        hint = " (quote its strings, as in {'name': 'moco'})"
    elif path in sections.KINDS and text in sections.KINDS[path].factories:
        hint = f" (did you mean --config.{path}.name={text}?)"
    value_text = errors.one_line(text)
    raise errors.UserError(
        f"--config.{path}={value_text}: config.{path} is a section of fields; set its fields one "
        f"by one, or all together as a dict{hint}.",
        section=path,
        value=text,
    )


def _check_path(config: ConfigDict, path: str) -> None:
    """Raises a UserError that names the first unknown part of a field's dotted name."""
    names = path.split(".")
    if not all(names):
        raise errors.UserError(
            f"--config.{path}: the name of the field is incomplete; write --config.FIELD or "
            "--config.SECTION.FIELD."
        )
    for depth, name in enumerate(names):
        prefix = ".".join(names[:depth])
        label = f"config.{prefix}" if prefix else "config"
        fields = sections.accepted(prefix, config)
        if not fields:
            suffix = ".".join(names[depth:])
            raise errors.UserError(
                f"--config.{path}: {label} is not a section; leave out .{suffix}.", section=path
            )
        if name not in fields and "*" not in fields:
            hint = errors.near(name, fields) or _suggest_section(config, name)
            choices = ", ".join(sorted(fields))
            raise errors.UserError(
                f"--config.{path}: {label} has no field {name!r}{hint}; it has {choices}.",
                section=path,
            )
        if prefix == "views" and depth + 1 < len(names):
            _check_view(config, path, name)


def _check_view(config: ConfigDict, path: str, view: str) -> None:
    """Rejects a field of a nonexistent view, unless the field is `name`, which adds the view."""
    if view not in config.views and not _is_name(path):
        hint = errors.near(view, config.views)
        choices = ", ".join(config.views)
        raise errors.UserError(
            f"--config.{path}: config.views has no view {view!r}{hint}; it has {choices}. To add a "
            f"view, also name its preset, for example with --config.views.{view}.name=plain.",
            section=path,
        )


def _suggest_section(config: ConfigDict, field: str) -> str:
    """Formats a hint that another config section has a field of this name; "" if none has."""
    present = [path for path in (*sections.KINDS, "data") if config.get(path)]
    owners = [path for path in present if field in sections.accepted(path, config)]
    return f" (did you mean --config.{owners[0]}.{field}?)" if owners else ""


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _items(text: str, kind: Any) -> tuple | None:
    """Parses a tuple without brackets or quotes, such as knn,linear."""
    types = (kind, *typing.get_args(kind))
    origins = {typing.get_origin(item) or item for item in types}
    if not origins & {tuple, Sequence}:
        return None
    items = text.strip().strip("()[]").split(",")
    return tuple(_literal(item.strip()) for item in items if item.strip())


def _to_float(value: Any, kind: Any) -> Any:
    """Converts a whole number to float if the field accepts floats but not integers."""
    kinds = {kind, *typing.get_args(kind)}
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_int and float in kinds and int not in kinds else value
