"""A section of a config: its name picks a factory, and the rest are the factory's arguments."""

import difflib
import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from byol_jax import told

_LARGEST = 2**31 - 1  # JAX counts in int32
_WORDS = {
    int: "a whole number below 2**31",
    float: "a finite number",
    bool: "True or False",
    str: "a string",
    tuple: "a tuple",
    type(None): "None",
}


def call(section: str, factories: Mapping[str, Callable], given: Mapping[str, Any], **derived):
    """Calls factories[given["name"]] with the rest of `given`, and with what it takes of derived.

    Raises ValueError as `check` does, and where the factory fails.
    """
    check(section, factories, given, derived)
    arguments = dict(given)
    name = arguments.pop("name")
    factory = factories[name]
    parameters = inspect.signature(factory).parameters
    derived = {key: value for key, value in derived.items() if key in parameters}
    required = [
        p.name for p in parameters.values() if p.default is p.empty and p.kind != p.VAR_KEYWORD
    ]
    missing = [name for name in required if name not in derived and name not in arguments]
    if missing:
        raise ValueError(
            f"{section} {name!r} needs {', '.join(missing)}: give it in config.{section}, or, for "
            "a network, in a section of that name."
        )
    with told.of(section, given):
        return factory(**derived, **arguments)


def check(
    section: str,
    factories: Mapping[str, Callable],
    given: Mapping[str, Any],
    derived: Iterable[str] = (),
) -> None:
    """Raises ValueError for a name that is not there, and for arguments that the factory lacks.

    Or that are of another type than it says; derived: names of arguments that are not for `given`.
    """
    name = given.get("name")
    check_name(section, name, factories)
    parameters = inspect.signature(factories[name]).parameters
    accepted = {p: q.annotation for p, q in parameters.items() if p not in derived}
    check_arguments(section, name, {k: v for k, v in given.items() if k != "name"}, accepted)


def check_name(section: str, name: Any, known: Iterable[str]) -> None:
    """Raises ValueError where a section has no name, or one that is not known."""
    if not isinstance(name, str) or name not in known:
        raise ValueError(
            f"unknown {section} {told.plain(name)}{near(name, known)}; config.{section}.name is one of "
            f"{', '.join(sorted(known))}."
        )


def check_arguments(
    section: str, name: str, given: Mapping[str, Any], accepted: Mapping[str, Any]
) -> None:
    """Raises ValueError for arguments not accepted, or not of the types that accepted has."""
    for argument, value in given.items():
        check_argument(section, name, argument, list(accepted))
        check_type(f"{section}.{argument}", value, accepted[argument])


def check_argument(section: str, name: str, argument: str, accepted: list[str]) -> None:
    """Raises ValueError when `argument` is not among those accepted, naming the nearest."""
    if argument not in accepted:
        raise ValueError(
            f"config.{section}.{argument}: {name} takes no {argument!r}"
            f"{near(argument, accepted)}; it takes {', '.join(sorted(accepted)) or 'nothing'}."
        )


def check_choice(path: str, value: Any, known: Iterable[Any]) -> None:
    """Raises ValueError when the value of config.path is none of those known."""
    if value not in tuple(known):
        words = [str(word) for word in known]
        raise ValueError(
            f"config.{path} {told.plain(value)} must be one of {', '.join(words)}{near(value, words)}."
        )


def check_type(path: str, value: Any, kind: Any) -> None:
    """Raises ValueError when the value of config.path is not of a type, as annotations write it."""
    if not fits(value, kind):
        raise ValueError(
            f"config.{path} is {told.brief(told.plain(value))}, of type {type(value).__name__}; it must "
            f"be {_word(kind)}."
        )


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a type: lists are tuples, an int is a float, a bool is no number.

    Numbers are finite, and integers int32's. A type that no config can hold fits all.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if kind is float:
        return _is(value, numbers.Real) and math.isfinite(value)
    if kind is int:
        return _is(value, numbers.Integral) and abs(value) <= _LARGEST
    if origin in (tuple, Sequence):
        return isinstance(value, (tuple, list)) and all(fits(one, inner[0]) for one in value)
    if origin is Mapping:
        return hasattr(value, "items") and all(fits(one, inner[1]) for _, one in value.items())
    if origin is Callable:
        return callable(value)
    return isinstance(value, kind) if kind in (str, bool, tuple, type(None)) else True


def _is(value, kind):
    return isinstance(value, kind) and not isinstance(value, bool)


def _word(kind) -> str:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_word(one) for one in inner if typing.get_origin(one) is not Callable)
    if origin in (tuple, Sequence):
        return f"a tuple, each {_word(inner[0])}"
    if origin is Mapping:
        return "a section of fields" + ("" if inner[1] is Any else f", each {_word(inner[1])}")
    return _WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def near(word: Any, known: Iterable[str]) -> str:
    """What an error adds where a word is nearly one of those known."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
