"""A section of a config: its name picks a factory, and the rest are the factory's arguments."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def call(section: str, factories: Mapping[str, Callable], given: Mapping[str, Any], **derived):
    """Calls factories[given["name"]] with the rest of `given`, and with what it takes of derived.

    Raises ValueError for a name that is not there and for an argument that the factory lacks.
    """
    arguments = dict(given)
    name = arguments.pop("name", None)
    if name not in factories:
        known = ", ".join(sorted(factories))
        raise ValueError(
            f"unknown {section} {name!r}{near(name, factories)}; config.{section}.name is one of "
            f"{known}."
        )
    factory = factories[name]
    parameters = inspect.signature(factory).parameters
    for argument in arguments:
        check_argument(section, name, argument, [p for p in parameters if p not in derived])
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
    return factory(**derived, **arguments)


def check_argument(section: str, name: str, argument: str, accepted: list[str]) -> None:
    """Raises ValueError when `argument` is not among those accepted, naming the nearest."""
    if argument not in accepted:
        raise ValueError(
            f"config.{section}.{argument}: {name} takes no {argument!r}"
            f"{near(argument, accepted)}; it takes {', '.join(sorted(accepted))}."
        )


def near(word: str, known: Iterable[str]) -> str:
    """What an error adds where a word is nearly one of those known."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
