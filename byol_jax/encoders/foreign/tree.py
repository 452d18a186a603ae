"""Finds all arrays in nested objects, such as the contents of a pickle."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from byol_jax import errors

MAX_NODES = 1_000_000
MAX_DEPTH = 200
MAX_NAME_LENGTH = 1_000
_LEAVES = (str, bytes, bytearray, int, float, type(None))


def collect_arrays(
    root: Any,
    *,
    array_of: Callable[[Any], np.ndarray | None],
    parts_of: Callable[[Any], Iterable[tuple[str, Any]]],
    separator: str,
    max_bytes: int,
) -> dict[str, np.ndarray]:
    """Returns a dict from paths to the arrays in a nested object.

    Args:
        root: The nested object.
        array_of: Returns the array that an object describes, or None.
        parts_of: Returns the names and parts of an object that describes no array. A part named ""
            has the path of its parent.
        separator: The text between the names in a path.
        max_bytes: The maximum size of all arrays together. It is needed because a pickle can repeat
            one array at no cost.

    Returns:
        The arrays by path; an array without a name has the path "array".

    Raises:
        UserError: Two arrays have the same path, or the object is larger or deeper than weights
            are.
    """
    arrays = {}
    pending = [("", 0, root)]
    num_nodes = 0
    num_bytes = 0
    while pending:
        path, depth, node = pending.pop()
        array = array_of(node)
        if array is None:
            parts = list(parts_of(node))
            num_nodes += 1 + len(parts)
            for name, part in reversed(parts):
                if not isinstance(part, _LEAVES):
                    pending.append((_join(path, name, separator), depth + 1, part))
        elif path in arrays:
            raise errors.UserError(f"the file contains two arrays with the name {path!r}.")
        else:
            arrays[path or "array"] = array
            num_bytes += array.nbytes
        # Check at every object, because a small pickle can expand to countless nested objects.
        if num_nodes > MAX_NODES or depth > MAX_DEPTH or num_bytes > max_bytes:
            raise errors.UserError(
                "the objects in the file are repeated or nested so often that they would need far "
                "more memory than the size of the file, which is implausible for weights."
            )
    return arrays


def plain_parts(node: Any) -> Iterable[tuple[str, Any]]:
    """Returns the items of a dict, list or tuple with their keys or indices.

    Args:
        node: Any object.

    Returns:
        Pairs of key and value of a dict, or of index and item of a list or tuple. Other objects
        have none.
    """
    if isinstance(node, dict):
        return node.items()
    if isinstance(node, list | tuple):
        return ((str(i), part) for i, part in enumerate(node))
    return ()


def check_name(name: str) -> None:
    """Checks that a name from a file is safe as a relative path.

    Args:
        name: The name of an array or of a zip entry.

    Raises:
        UserError: The name is absolute, contains "..", or is not printable.
    """
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or not name.isprintable():
        raise errors.UserError(
            f"the name {name!r} points outside its folder or is not printable; weights do not need "
            "such names."
        )


def _join(path, name, separator):
    joined = separator.join(part for part in (path, name) if part)
    if len(joined) > MAX_NAME_LENGTH:
        raise errors.UserError(
            f"the file contains a name of more than {MAX_NAME_LENGTH} characters, which is "
            "implausible for weights."
        )
    return joined
