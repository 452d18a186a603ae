"""The schema of a config: the fields of each section and their types.

The name in a section selects a factory, such as a network or a method, and the section's other
fields are the keyword arguments of this factory. Its signature is therefore the section's schema.
Arguments that the program supplies, such as a network or the number of steps, are not fields.
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
CLOSED = ("", "data", "evaluate", "evaluate.data")  # sections with exactly the fields of default()
OPTIONAL = ("predictor",)  # sections that default() does not have
_LARGEST = 2**31 - 1  # JAX counts in int32
_TYPE_TEXTS = {
    int: "a whole number below 2**31",
    float: "a finite number",
    bool: "True or False",
    str: "a string",
    tuple: "a tuple",
    type(None): "None",
}


class Kind(NamedTuple):
    """The schema of a config section that selects a factory by name.

    Attributes:
        factories: Factories by name; the section's `name` selects one.
        supplied: Arguments of the factories that the program supplies, so that they are not fields.
        more: Types of additional fields, and types that replace a factory's annotations, by field.
        name: Name of the factory if the section has no name; None if the name is required.
        required: Fields in `more` that the section must contain.
    """

    factories: Mapping[str, Callable[..., Any]]
    supplied: tuple[str, ...] = ()
    more: Mapping[str, Any] = {}
    name: str | None = None
    required: tuple[str, ...] = ()


_SIZES = ("num_examples", "batch_size", "total_steps", "axis_name")
_HEAD = Kind({"mlp": networks.mlp}, ("batch_norm", "dtype"), {"batch_norm": bool}, "mlp")
_OPTIMIZER_FIELDS = {"mask": str, "multipliers": Mapping[str, float]}
KINDS = {
    "encoder": Kind(networks.ENCODERS, ("batch_norm", "dtype", "remat")),
    "projector": _HEAD,
    "predictor": _HEAD,
    "context": Kind({"row_context": networks.row_context}, ("dtype",), {}, "row_context"),
    "method": Kind(methods.METHODS, (*NETWORKS, *_SIZES)),
    "optimizer": Kind(optimizers.OPTIMIZERS, ("learning_rate",), _OPTIMIZER_FIELDS),
    "schedule": Kind(
        optimizers.SCHEDULES,
        ("peak", "total_steps", "steps_per_epoch"),
        {"learning_rate": float, "scaling": str},
        required=("learning_rate",),
    ),
    "probe": Kind(optimizers.OPTIMIZERS, (), _OPTIMIZER_FIELDS | {"learning_rate": float}),
}


def name_of(path: str, section: Mapping[str, Any]) -> str:
    """Returns the name by which a config section selects its factory or preset.

    Args:
        path: Dotted name of the section, such as "views.first".
        section: The section.

    Returns:
        The name in the section, or the default name if the section may omit it.

    Raises:
        UserError: If the name is required and missing, or unknown.
    """
    field = "kind" if path == "batch_norm" else "name"
    if path == "batch_norm":
        choices = networks.NORMS
        default = "batch"
    elif path.startswith("views."):
        choices = augment.PRESETS
        default = None
    else:
        choices = KINDS[path].factories
        default = KINDS[path].name
    name = section.get(field, default)
    names = ", ".join(sorted(choices))
    if name is None:
        raise errors.UserError(
            f"config.{path} has no name; config.{path}.{field} must be one of {names}.",
            section=path,
        )
    if not isinstance(name, str) or name not in choices:
        name_text = errors.literal(name)
        hint = errors.near(name, choices)
        raise errors.UserError(
            f"unknown {path} {name_text}{hint}; config.{path}.{field} must be one of {names}.",
            section=f"{path}.{field}",
            value=name,
        )
    return name


def accepted(path: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the fields that a config section accepts, with their types.

    Args:
        path: Dotted name of the section; "" is the config itself.
        config: The whole config, whose names select the factories.

    Returns:
        Annotations of the fields' types by field, in which "*" matches any field. Empty if `path`
        is not a section.

    Raises:
        UserError: If the name in the section is missing or unknown.
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
        return protocols.accepted(name) if name in protocols.PROTOCOLS else {}
    if path.endswith(".multipliers"):
        return {"*": float}
    if path == "batch_norm":
        return _norm_fields(name_of(path, value_at(config, path) or {}))
    if path.startswith("views."):  # every preset has the same settings
        return {"name": str, "strength": float, **augment.Settings.__annotations__}
    if path not in KINDS:
        return {}
    kind = KINDS[path]
    factory = kind.factories[name_of(path, value_at(config, path) or {})]
    arguments = {k: v for k, v in _annotations(factory).items() if k not in kind.supplied}
    return {"name": str, **arguments, **kind.more}


def missing(path: str, config: Mapping[str, Any]) -> list[str]:
    """Lists the required arguments of a config section's factory that are not set.

    Args:
        path: Dotted name of a section in KINDS.
        config: The whole config.

    Returns:
        Names of arguments without a default that neither the section nor the program supplies.
    """
    section = config.get(path) or {}
    kind = KINDS[path]
    supplied = {*section, *(name for name in kind.supplied if name not in NETWORKS)}
    supplied |= {name for name in NETWORKS if config.get(name)}
    parameters = inspect.signature(kind.factories[name_of(path, section)]).parameters.values()
    required = [p for p in parameters if p.default is p.empty and p.kind != p.VAR_KEYWORD]
    names = [*kind.required, *(p.name for p in required)]
    return [name for name in names if name not in supplied]


def takes(path: str, config: Mapping[str, Any], argument: str) -> bool:
    """Checks whether the factory that a config section selects accepts the given argument.

    Args:
        path: Dotted name of a section in KINDS.
        config: The whole config.
        argument: Name of the argument.

    Returns:
        True if the factory has the argument.
    """
    factory = KINDS[path].factories[name_of(path, config[path])]
    return argument in inspect.signature(factory).parameters


def _types(section: ConfigDict, path: str) -> dict[str, Any]:
    """Returns the type of each field in a section; if the default is None, None is valid too."""
    types_by_name: dict[str, Any] = {}
    if path == "":
        types_by_name = dict.fromkeys(OPTIONAL, Mapping[str, Any])
    for name in section:
        kind = (
            Mapping[str, Any] if isinstance(section[name], ConfigDict) else section.get_type(name)
        )
        types_by_name[name] = kind if section[name] is not None else kind | None
    return types_by_name


def _annotations(factory: Callable[..., Any]) -> dict[str, Any]:
    return {name: p.annotation for name, p in inspect.signature(factory).parameters.items()}


def _norm_fields(name: str) -> dict[str, Any]:
    internal = ("parent", "name", "axis_name", "scale_init")
    attributes = networks.NORMS[name].__dataclass_fields__
    types_by_name = {k: field.type for k, field in attributes.items() if k not in internal}
    return {"kind": str, "sync": bool, **types_by_name}


def value_at(config: Mapping[str, Any], path: str) -> Any:
    """Looks up a config field by its dotted name.

    Args:
        config: The whole config.
        path: Dotted name; "" is the config itself.

    Returns:
        The field's value; None if the field or a section above it does not exist.
    """
    value: Any = config
    for name in path.split(".") if path else ():
        value = value.get(name) if hasattr(value, "items") else None
    return value


def check_argument(section: str, name: str, argument: str, choices: Iterable[str]) -> None:
    """Raises an error if the factory of a config section does not accept the given argument.

    Args:
        section: Dotted name of the section that contains the argument.
        name: Name of the factory.
        argument: Name of the argument.
        choices: Names of the arguments that the factory takes.

    Raises:
        UserError: If the factory does not take the argument.
    """
    if argument not in choices:
        hint = errors.near(argument, choices)
        names = ", ".join(sorted(choices)) or "nothing"
        raise errors.UserError(
            f"config.{section}.{argument}: {name} takes no {argument!r}{hint}; it takes {names}.",
            section=f"{section}.{argument}",
        )


def check_choice(path: str, value: Any, choices: Iterable[Any]) -> None:
    """Checks that a value is one of the choices for its config field.

    Args:
        path: Dotted name of the field.
        value: Value of the field, or one item of its value.
        choices: The valid values.

    Raises:
        UserError: If the value is not among the choices.
    """
    if value not in tuple(choices):
        words = [str(choice) for choice in choices]
        value_text = errors.literal(value)
        names = ", ".join(words)
        hint = errors.near(value, words)
        raise errors.UserError(
            f"config.{path} is {value_text}; it must be one of {names}{hint}.",
            section=path,
            value=value,
        )


def check_type(path: str, value: Any, kind: Any) -> None:
    """Checks that a value has the type of its config field.

    Args:
        path: Dotted name of the field.
        value: Value of the field.
        kind: Annotation of the field's type.

    Raises:
        UserError: If the value has a different type.
    """
    if not fits(value, kind):
        value_text = errors.one_line(errors.literal(value))
        value_type = type(value).__name__
        expected = _type_text(kind)
        raise errors.UserError(
            f"config.{path} is {value_text}, of type {value_type}; it must be {expected}.",
            section=path,
            value=value,
        )


def fits(value: Any, kind: Any) -> bool:
    """Checks whether a value matches a type annotation.

    A list counts as a tuple and an int as a float, but a bool does not count as a number. Numbers
    must be finite, and integers must fit in int32.

    Args:
        value: Value of a field.
        kind: Annotation. A Protocol matches every callable, and a type that a config cannot hold
            matches every value.

    Returns:
        True if the value matches.
    """
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, alternative) for alternative in arguments)
    if kind is float:
        return _is_number(value, numbers.Real) and math.isfinite(value)
    if kind is int:
        return _is_number(value, numbers.Integral) and abs(value) <= _LARGEST
    if origin in (tuple, Sequence):
        return isinstance(value, (tuple, list)) and all(fits(item, arguments[0]) for item in value)
    if origin is Mapping:
        return hasattr(value, "items") and all(
            fits(item, arguments[1]) for _, item in value.items()
        )
    if kind is Mapping:
        return hasattr(value, "items")
    if _is_callable(kind):
        return callable(value)
    return isinstance(value, kind) if kind in (str, bool, tuple, type(None)) else True


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_callable(kind: Any) -> bool:
    """Returns whether a type is a Callable or Protocol; a config cannot hold such values."""
    return typing.get_origin(kind) is Callable or getattr(kind, "_is_protocol", False)


def _type_text(kind: Any) -> str:
    """Returns a description of a type annotation, for use in an error message."""
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_text(kind) for kind in arguments if not _is_callable(kind))
    if origin in (tuple, Sequence):
        return f"a tuple, each item {_type_text(arguments[0])}"
    if origin is Mapping or kind is Mapping:
        item = arguments[1] if arguments else Any
        return "a section of fields" + ("" if item is Any else f", each {_type_text(item)}")
    return _TYPE_TEXTS.get(kind, getattr(kind, "__name__", str(kind)))
