"""What a pickle holds, as arrays by the path to each."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from byol_jax import errors

MOST_NODES, DEEPEST, LONGEST = 1_000_000, 200, 1_000
_ENDS = (str, bytes, bytearray, int, float, type(None))


def arrays(
    root: Any,
    *,
    array_of: Callable[[Any], np.ndarray | None],
    parts_of: Callable[[Any], Iterable[tuple[str, Any]]],
    separator: str,
    most_bytes: int,
) -> dict[str, np.ndarray]:
    """{path: array} of all that is in `root`.

    array_of: the array that a node is, or None.  parts_of: the nodes in one that is none, by name;
    a part named "" has its parent's path.  most_bytes: of all arrays; a pickle may name one array
    any number of times.

    Raises ValueError for more of anything than weights have, and where two have one path.
    """
    found, todo, nodes, size = {}, [("", 0, root)], 0, 0
    while todo:
        path, depth, node = todo.pop()
        array = array_of(node)
        if array is None:
            parts = list(parts_of(node))
            nodes += 1 + len(parts)
            for name, part in reversed(parts):
                if not isinstance(part, _ENDS):
                    todo.append((_join(path, name, separator), depth + 1, part))
        elif path in found:
            raise errors.UserError(f"two arrays have the name {path!r}; one of them was meant.")
        else:
            found[path or "array"] = array
            size += array.nbytes
        if nodes > MOST_NODES or depth > DEEPEST or size > most_bytes:
            raise errors.UserError(
                "it names the same things so often, or so deep in one another, that it would take "
                "far more memory than the file is long; no weights do."
            )
    return found


def plain_parts(node: Any) -> Iterable[tuple[str, Any]]:
    """Of dicts, lists and tuples; nothing else has any."""
    if isinstance(node, dict):
        return node.items()
    if isinstance(node, list | tuple):
        return ((str(i), part) for i, part in enumerate(node))
    return ()


def check_name(name: str) -> None:
    """Raises ValueError for a name that as a file's would lie elsewhere."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or not name.isprintable():
        raise errors.UserError(
            f"it has the name {name!r}, which leads out of its place; no weights need it."
        )


def _join(path, name, separator):
    joined = separator.join(part for part in (path, name) if part)
    if len(joined) > LONGEST:
        raise errors.UserError(f"it has names of more than {LONGEST} letters; no weights do.")
    return joined
