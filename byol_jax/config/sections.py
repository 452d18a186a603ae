"""The schema of a config: the fields that each section takes, and their types.

A section's name picks a factory, and the rest of the section are that factory's keyword arguments,
so that the factory's signature is the schema. What the program supplies itself (a network, the
number of steps) is no field.
"""

import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from byol_jax import augment, errors, methods, networks, optimizers
from byol_jax.config import fields
from byol_jax.evaluation import protocols

NETWORKS = ("encoder", "projector", "predictor", "context")
SCALINGS = ("none", "linear", "sqrt")
CLOSED = ("", "data", "evaluate", "evaluate.data")  # sections that have the fields of default()
OPTIONAL = ("predictor",)  # sections that default() does not have
_LARGEST = 2**31 - 1  # JAX counts in int32
_WORDS = {
    int: "a whole number below 2**31",
    float: "a finite number",
    bool: "True or False",
    str: "a string",
    tuple: "a tuple",
    type(None): "None",
}


class Kind(NamedTuple):
    """What one kind of section may hold.

    Attributes:
        factories: by name; the section's `name` picks one.
        supplied: arguments of the factories that the program supplies.
        more: further fields, or other types than the factories' annotations, by name.
        name: which factory is meant where the section has no name; None where it needs one.
        required: names in `more` that the section must give.
    """

    factories: Mapping[str, Callable]
    supplied: tuple[str, ...] = ()
    more: Mapping[str, Any] = {}
    name: str | None = None
    required: tuple[str, ...] = ()


_SIZES = ("num_examples", "batch_size", "total_steps", "axis_name")
_HEAD = Kind({"mlp": networks.mlp}, ("batch_norm", "dtype"), {"batch_norm": bool}, "mlp")
_MOVER = {"mask": str, "multipliers": Mapping[str, float]}
KINDS = {
    "encoder": Kind(networks.ENCODERS, ("batch_norm", "dtype", "remat")),
    "projector": _HEAD,
    "predictor": _HEAD,
    "context": Kind({"row_context": networks.row_context}, ("dtype",), {}, "row_context"),
    "method": Kind(methods.METHODS, (*NETWORKS, *_SIZES)),
    "optimizer": Kind(optimizers.OPTIMIZERS, ("learning_rate",), _MOVER),
    "schedule": Kind(
        optimizers.SCHEDULES,
        ("peak", "total_steps", "steps_per_epoch"),
        {"learning_rate": float, "scaling": str},
        required=("learning_rate",),
    ),
    "probe": Kind(optimizers.OPTIMIZERS, (), _MOVER | {"learning_rate": float}),
}


def name_of(path: str, section: Mapping[str, Any]) -> str:
    """The name by which the section at `path` picks its factory or preset.

    Raises:
        UserError: where the section has no name, or an unknown one; names the nearest.
    """
    field = "kind" if path == "batch_norm" else "name"
    if path == "batch_norm":
        known, default = networks.NORMS, "batch"
    elif path.startswith("views."):
        known, default = augment.PRESETS, None
    else:
        known, default = KINDS[path].factories, KINDS[path].name
    name = section.get(field, default)
    if name is None:
        raise errors.UserError(
            f"config.{path} has no name; config.{path}.{field} is one of "
            f"{', '.join(sorted(known))}.",
            section=path,
        )
    if not isinstance(name, str) or name not in known:
        raise errors.UserError(
            f"unknown {path} {errors.literal(name)}{errors.near(name, known)}; config.{path}.{field} is "
            f"one of {', '.join(sorted(known))}.",
            section=f"{path}.{field}",
            value=name,
        )
    return name


def accepted(path: str, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The fields that the section at `path` takes, with their types; None where it is no section.

    The field "*" stands for every name.

    Args:
        path: dotted name; "" for the config itself.
        config: the whole config, whose names say which factories are meant.

    Raises:
        UserError: where the section's name is unknown.
    """
    if path in CLOSED:
        return _types(value_at(fields.default(), path), path)
    if path == "views":
        return {"*": Mapping[str, Any]}
    if path == "evaluate.options":
        return dict.fromkeys(protocols.PROTOCOLS, Mapping[str, Any])
    if path == "evaluate.view":
        return _annotations(augment.evaluation_view)
    if path.startswith("evaluate.options."):
        name = path.removeprefix("evaluate.options.")
        return protocols.accepted(name) if name in protocols.PROTOCOLS else None
    if path.endswith(".multipliers"):
        return {"*": float}
    if path == "batch_norm":
        return _norm_fields(name_of(path, value_at(config, path) or {}))
    if path.startswith("views."):  # every preset has the same settings
        return {"name": str, "strength": float, **augment.Settings.__annotations__}
    if path not in KINDS:
        return None
    kind = KINDS[path]
    factory = kind.factories[name_of(path, value_at(config, path) or {})]
    taken = {k: v for k, v in _annotations(factory).items() if k not in kind.supplied}
    return {"name": str, **taken, **kind.more}


def missing(path: str, config: Mapping[str, Any]) -> list[str]:
    """Arguments without a default that neither the section at `path` nor the program gives."""
    section, kind = config.get(path) or {}, KINDS[path]
    there = {*section, *(name for name in kind.supplied if name not in NETWORKS)}
    there |= {name for name in NETWORKS if config.get(name)}
    parameters = inspect.signature(kind.factories[name_of(path, section)]).parameters.values()
    required = [p for p in parameters if p.default is p.empty and p.kind != p.VAR_KEYWORD]
    names = [*kind.required, *(p.name for p in required)]
    return [name for name in names if name not in there]


def takes(path: str, config: Mapping[str, Any], argument: str) -> bool:
    """Whether the factory of the section at `path` has an argument of this name."""
    factory = KINDS[path].factories[name_of(path, config[path])]
    return argument in inspect.signature(factory).parameters


def _types(section: ConfigDict, path: str) -> dict[str, Any]:
    """The types of a section of default(); a field whose default is None takes None too."""
    types_by_name = dict.fromkeys(OPTIONAL, Mapping[str, Any]) if path == "" else {}
    for name in section:
        kind = (
            Mapping[str, Any] if isinstance(section[name], ConfigDict) else section.get_type(name)
        )
        types_by_name[name] = kind if section[name] is not None else kind | None
    return types_by_name


def _annotations(factory: Callable) -> dict[str, Any]:
    return {name: p.annotation for name, p in inspect.signature(factory).parameters.items()}


def _norm_fields(name: str) -> dict[str, Any]:
    internal = ("parent", "name", "axis_name", "scale_init")
    attributes = networks.NORMS[name].__dataclass_fields__
    taken = {k: field.type for k, field in attributes.items() if k not in internal}
    return {"kind": str, "sync": bool, **taken}


def value_at(config: Mapping[str, Any], path: str) -> Any:
    """The value of a dotted field; None where it, or a section above it, is absent."""
    for name in path.split(".") if path else ():
        config = config.get(name) if hasattr(config, "items") else None
    return config


def check_argument(section: str, name: str, argument: str, known: Iterable[str]) -> None:
    """Raises UserError when `name`, a factory's, does not take `argument`; names the nearest."""
    if argument not in known:
        raise errors.UserError(
            f"config.{section}.{argument}: {name} takes no {argument!r}{errors.near(argument, known)}; it "
            f"takes {', '.join(sorted(known)) or 'nothing'}.",
            section=f"{section}.{argument}",
        )


def check_choice(path: str, value: Any, known: Iterable[Any]) -> None:
    """Raises UserError when the value of config.path is none of those known."""
    if value not in tuple(known):
        words = [str(word) for word in known]
        raise errors.UserError(
            f"config.{path} {errors.literal(value)} must be one of {', '.join(words)}"
            f"{errors.near(value, words)}.",
            section=path,
            value=value,
        )


def check_type(path: str, value: Any, kind: Any) -> None:
    """Raises UserError when the value of config.path is not of the type that an annotation says."""
    if not fits(value, kind):
        raise errors.UserError(
            f"config.{path} is {errors.one_line(errors.literal(value))}, of type "
            f"{type(value).__name__}; it must be {_word(kind)}.",
            section=path,
            value=value,
        )


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of the type that an annotation says.

    A list is a tuple, an int is a float, a bool is no number. Numbers are finite, and integers fit
    into int32. A type that no config can hold fits every value.
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
    if kind is Mapping:
        return hasattr(value, "items")
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
    if origin is Mapping or kind is Mapping:
        of = inner[1] if inner else Any
        return "a section of fields" + ("" if of is Any else f", each {_word(of)}")
    return _WORDS.get(kind, getattr(kind, "__name__", str(kind)))
