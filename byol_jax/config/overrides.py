"""Fields of a config changed by flags: --config.section.field=value."""

import ast
import typing
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from byol_jax import errors
from byol_jax.config import sections


def apply(config: ConfigDict, overrides: Sequence[tuple[str, str]]) -> list[str]:
    """Changes fields of a config in place.

    A field may be any that its section takes, whether or not the config mentions it, and a section
    may be absent. Whole sections are set first, then names, then the other fields, whatever the
    order of the flags. Where a section's name changes, the arguments that its new factory does not
    take are removed.

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
        for path, text in sorted(overrides, key=_rank):
            _check_path(config, path)
            _set(config, path, _parse(config, path, text))
            if _is_name(path):
                notes += _remove_arguments(config, path)
    return notes


def _rank(override: tuple[str, str]) -> int:
    path, text = override
    if isinstance(_literal(text), dict):
        return 0
    return 1 if _is_name(path) else 2


def _is_name(path: str) -> bool:
    """Whether a field is the name by which its section picks a factory."""
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
    return [f"--config.{name_path}={name}: left out {', '.join(unknown)} of the config file"]


def _parse(config: ConfigDict, path: str, text: str) -> Any:
    """The value that a flag's text stands for, of the field's type."""
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
            return float(candidate) if _is_float(candidate, kind) else candidate
    if sections.fits({}, kind):
        _refuse_section(path, text)
    sections.check_type(path, value, kind)
    return value


def _refuse_section(path: str, text: str) -> None:
    """Raises UserError where a section is set to something that is no dict."""
    hint = ""
    if text.startswith("{"):
        hint = "; quote its strings, as in {'name': 'moco'}"
    elif path in sections.KINDS and text in sections.KINDS[path].factories:
        hint = f"; did you mean --config.{path}.name={text}?"
    raise errors.UserError(
        f"--config.{path}={errors.one_line(text)}: config.{path} is a section of fields, set one by "
        f"one or as a dict{hint or '.'}",
        section=path,
        value=text,
    )


def _check_path(config: ConfigDict, path: str) -> None:
    """Raises UserError where there is no such field; names the first part that is unknown."""
    names = path.split(".")
    if not all(names):
        raise errors.UserError(f"--config.{path}: write --config.FIELD or --config.SECTION.FIELD.")
    for depth, name in enumerate(names):
        prefix = ".".join(names[:depth])
        label = f"config.{prefix}" if prefix else "config"
        fields = sections.accepted(prefix, config)
        if fields is None:
            rest = ".".join(names[depth:])
            raise errors.UserError(
                f"--config.{path}: {label} is no section; leave out .{rest}.", section=path
            )
        if name not in fields and "*" not in fields:
            hint = errors.near(name, fields) or _elsewhere(config, name)
            raise errors.UserError(
                f"--config.{path}: {label} has no {name!r}{hint}; it has "
                f"{', '.join(sorted(fields))}.",
                section=path,
            )
        if prefix == "views" and depth + 1 < len(names):
            _check_view(config, path, name)


def _check_view(config: ConfigDict, path: str, view: str) -> None:
    """A field of a view that is absent, and gets no name, is a field of a mistyped view."""
    if view not in config.views and not _is_name(path):
        raise errors.UserError(
            f"--config.{path}: config.views has no {view!r}{errors.near(view, config.views)}; it "
            f"has {', '.join(config.views)}. To add a view, name its preset too: "
            f"--config.views.{view}.name=plain.",
            section=path,
        )


def _elsewhere(config: ConfigDict, field: str) -> str:
    """What an error adds where another section has the field."""
    known = [path for path in (*sections.KINDS, "data") if config.get(path)]
    owners = [path for path in known if field in sections.accepted(path, config)]
    return f" (did you mean --config.{owners[0]}.{field}?)" if owners else ""


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _items(text: str, kind: Any) -> tuple | None:
    """A tuple written without its brackets or quotes: knn,linear."""
    origins = {typing.get_origin(one) or one for one in (kind, *typing.get_args(kind))}
    if not origins & {tuple, Sequence}:
        return None
    items = text.strip().strip("()[]").split(",")
    return tuple(_literal(item.strip()) for item in items if item.strip())


def _is_float(value: Any, kind: Any) -> bool:
    """Whether a whole number was set for a field of floats."""
    kinds = {kind, *typing.get_args(kind)}
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return is_int and float in kinds and int not in kinds
