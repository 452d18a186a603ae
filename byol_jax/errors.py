"""Mistakes of users: one exception class, and the section of a config that it is about."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from typing import Any

_LONGEST = 300  # characters of a quoted text


class UserError(ValueError):
    """A mistake that the user can correct; the message says what was wanted, what came, what to do.

    The command line prints the message alone. Any other exception keeps its traceback.

    Attributes:
        section: dotted name of the config's section or field that caused it, such as
            "views.first"; None where it is no config's.
        value: what the section or field holds.
    """

    def __init__(self, message: str, *, section: str | None = None, value: Any = None):
        super().__init__(message)
        self.section = section
        self.value = value


class MissingExtra(UserError, ImportError):
    """A package is not installed that one of the extras of setup.py brings."""


def missing_extra(extra: str, purpose: str) -> MissingExtra:
    """The error to raise where a package is missing; `extra` is the extra of setup.py that has it."""
    return MissingExtra(
        f"{purpose}; run pip install 'byol_jax[{extra}]', or pip install -e '.[{extra}]' in a clone."
    )


@contextlib.contextmanager
def naming_section(section: str, value: Any) -> Iterator[None]:
    """Turns exceptions into a UserError that names the config's section; also a decorator.

    A UserError that names a section already, and an OSError, whose message names a file, pass
    unchanged.

    Args:
        section: dotted name of the section, without "config.".
        value: what the section holds; the message quotes it where the exception is a library's.

    Raises:
        UserError: for every other exception.
    """
    try:
        yield
    except UserError as error:
        if error.section is not None or isinstance(error, OSError | ImportError):
            raise
        raise UserError(f"config.{section}: {error}", section=section, value=value) from error
    except OSError:
        raise
    except Exception as error:
        raise UserError(
            f"config.{section} = {one_line(literal(value))} is not valid: {type(error).__name__}: "
            f"{one_line(error)}. Check it and the sections that it depends on.",
            section=section,
            value=value,
        ) from error


def wrap_functions(section: str, value: Any, functions):
    """A NamedTuple of functions, such as a Network or a Method, each run within naming_section."""
    wrapped = {
        name: naming_section(section, value)(field)
        for name, field in functions._asdict().items()
        if callable(field)
    }
    return functions._replace(**wrapped)


def one_line(text: Any) -> str:
    """The text of an error or a value on one line, cut after 300 characters."""
    if isinstance(text, KeyError) and text.args:
        text = text.args[0]
    line = " ".join(str(text).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def near(word: Any, known: Iterable[str], *, quoted: bool = True) -> str:
    """What a message adds where a word is nearly one of those known: " (did you mean 'crop'?)"."""
    matches = difflib.get_close_matches(str(word), [str(name) for name in known], n=1)
    if not matches:
        return ""
    return f" (did you mean {matches[0]!r}?)" if quoted else f" (did you mean {matches[0]}?)"


def literal(value: Any) -> str:
    """A value of a config as Python writes it; a ConfigDict as a dict."""
    return repr(value.to_dict() if hasattr(value, "to_dict") else value)
