"""Errors that say all there is to say, and how those of libraries come to do so."""

import contextlib
import linecache
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

KINDS = (ValueError, OSError, ImportError, FloatingPointError)
_PACKAGE = str(Path(__file__).parent)
_LONGEST = 300  # characters of what is quoted


def is_ours(error: BaseException) -> bool:
    """Whether a statement `raise` of this package raised it, of a kind that is told as it is.

    Where JAX leaves its own frames out of a traceback, the last line is ours and no `raise`.
    """
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    file = frame.f_code.co_filename
    raised = linecache.getline(file, line).lstrip().startswith("raise")
    return isinstance(error, KINDS) and file.startswith(_PACKAGE) and raised


def brief(what: Any) -> str:
    """The words of an error or a value on one line, and not many."""
    if isinstance(what, KeyError) and what.args:
        what = what.args[0]
    text = " ".join(str(what).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def plain(value: Any) -> str:
    """A value of a config as Python writes it, a section as a dict."""
    return repr(value.to_dict() if hasattr(value, "to_dict") else value)


@contextlib.contextmanager
def of(section: str, given: Mapping[str, Any]) -> Iterator[None]:
    """What a library says of a section's arguments becomes a ValueError that names both.

    Also a decorator of functions. Errors of this package pass as they are.
    """
    try:
        yield
    except Exception as error:
        if is_ours(error):
            raise
        values = brief(given if isinstance(given, dict) else plain(given))
        raise ValueError(
            f"config.{section} is {values}, which does not work here: {type(error).__name__}: "
            f"{brief(error)}. Change what does not fit, there or in the sections that it works with."
        ) from error


def every(section: str, given: Mapping[str, Any], functions):
    """A NamedTuple of functions, such as a Network or a Method, each of them within `of`."""
    wrapped = {k: of(section, given)(f) for k, f in functions._asdict().items() if callable(f)}
    return functions._replace(**wrapped)
