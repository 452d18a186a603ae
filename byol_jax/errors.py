"""Errors for users, and helpers that add the name of a config section to an error message."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

_LONGEST = 300  # characters of a quoted text

Functions = TypeVar("Functions", bound=NamedTuple)


class UserError(ValueError):
    """A mistake that the user can correct.

    The message says what is wrong and what to do. The command line prints only the message; any
    other exception is printed with its traceback.

    Args:
        message: What is wrong and what to do.
        section: Dotted name of the config section or field at fault, such as "views.first", also
            available as an attribute. None if the error is not about a config.
        value: Value of that section or field, also available as an attribute.
    """

    def __init__(self, message: str, *, section: str | None = None, value: Any = None):
        super().__init__(message)
        self.section = section
        self.value = value


class MissingExtra(UserError, ImportError):
    """An error about a missing package that an optional extra of byol_jax installs."""


def missing_extra(extra: str, purpose: str) -> MissingExtra:
    """Creates an error with the pip command that installs a missing package.

    Args:
        extra: Name of the extra in setup.py that installs the package.
        purpose: What needs the package; the first half of the message's sentence.

    Returns:
        The error, to be raised by the caller.
    """
    return MissingExtra(
        f"{purpose}; run pip install 'byol_jax[{extra}]' (in a clone: pip install -e '.[{extra}]')."
    )


@contextlib.contextmanager
def naming_section(section: str, value: Any) -> Iterator[None]:
    """Converts exceptions into a UserError that names a config section.

    Works as a context manager and as a decorator. An OSError, which names a file, passes unchanged,
    and so does a UserError that already names a section.

    Args:
        section: Dotted name of the section, without "config.".
        value: Value of the section. The message quotes it if a library raised the exception.

    Yields:
        None. The exceptions of the block's code are converted.

    Raises:
        UserError: For every other exception.
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
        value_text = one_line(literal(value))
        error_text = f"{type(error).__name__}: {one_line(error)}"
        raise UserError(
            f"config.{section} = {value_text} is not valid: {error_text}. Check this section and "
            "the sections that it depends on.",
            section=section,
            value=value,
        ) from error


def wrap_functions(section: str, value: Any, functions: Functions) -> Functions:
    """Wraps a group of functions so that their errors mention a config section.

    Args:
        section: Dotted name of the section, without "config.".
        value: Value of the section.
        functions: NamedTuple of functions, such as a Network or a Method.

    Returns:
        The same NamedTuple, with each function wrapped in `naming_section`.
    """
    wrapped = {
        name: naming_section(section, value)(field)
        for name, field in functions._asdict().items()
        if callable(field)
    }
    return functions._replace(**wrapped)


def one_line(text: Any) -> str:
    """Puts a text on one line, and truncates it to 300 characters.

    Args:
        text: A text, a value or an exception.

    Returns:
        The line.
    """
    if isinstance(text, KeyError) and text.args:
        text = text.args[0]
    line = " ".join(str(text).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def near(word: Any, choices: Iterable[str], *, quoted: bool = True) -> str:
    """Formats a hint that suggests the valid word closest to a mistyped one.

    Args:
        word: The mistyped word.
        choices: The valid words.
        quoted: Whether to put the suggestion in quotes.

    Returns:
        The hint with a leading space, " (did you mean 'crop'?)", or "" if no word is close.
    """
    matches = difflib.get_close_matches(str(word), [str(name) for name in choices], n=1)
    if not matches:
        return ""
    return f" (did you mean {matches[0]!r}?)" if quoted else f" (did you mean {matches[0]}?)"


def literal(value: Any) -> str:
    """Formats a config value as a Python literal, and a ConfigDict as a plain dict.

    Args:
        value: Value of a config field.

    Returns:
        The text.
    """
    return repr(value.to_dict() if hasattr(value, "to_dict") else value)
