"""Functions that are made by other functions, in a form that pickle can store."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar

Factory = TypeVar("Factory", bound=Callable[..., Any])


def picklable(factory: Factory) -> Factory:
    """Makes the functions that a factory returns picklable.

    Pickle cannot store functions that are defined inside another function. It stores those of a
    decorated factory as the factory's name and arguments, and calls the factory again to load them.

    Args:
        factory: A function at the top level of a module. It returns a function, or a named tuple
            whose fields are functions, dicts of functions, or anything that pickle can store.

    Returns:
        The factory. Its results can be pickled if its arguments can.
    """

    @functools.wraps(factory)
    def make(*args, **kwargs):
        result = factory(*args, **kwargs)
        return _wrap(result, _Call(make, args, kwargs), ())

    return make  # pyright: ignore[reportReturnType] (wraps keeps the signature)


@dataclasses.dataclass
class _Call:
    """A call of a factory."""

    factory: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @functools.cached_property
    def result(self) -> Any:
        return self.factory(*self.args, **self.kwargs)


class _Made:
    """A function that a factory returns, or a function inside the tuple that it returns."""

    def __init__(self, function, call, path):
        functools.update_wrapper(self, function)
        self._function = function
        self._call = call
        self._path = path

    def __call__(self, *args, **kwargs):
        return self._function(*args, **kwargs)

    def __reduce__(self):
        return _make_again, (self._call, self._path)


def _wrap(result: Any, call: _Call, path: tuple[str, ...]) -> Any:
    """Replaces all functions in the result of a call by functions that can be pickled."""
    if callable(result):
        return _Made(result, call, path)
    if isinstance(result, dict):
        return {name: _wrap(value, call, (*path, name)) for name, value in result.items()}
    if hasattr(result, "_asdict"):  # a named tuple
        return result._replace(**_wrap(result._asdict(), call, path))
    return result


def _make_again(call, path):
    result = call.result
    for name in path:
        result = result[name] if isinstance(result, dict) else getattr(result, name)
    return result
