"""The summary that a run prints before it starts."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import rich.console
import rich.table
import rich.text


def show(
    facts: Mapping[str, str],
    warnings: Sequence[str] = (),
    *,
    console: rich.console.Console | None = None,
) -> None:
    """Prints facts as a table with two columns, followed by one line for each warning.

    Args:
        facts: Texts by name, in the order of the rows.
        warnings: Texts, printed after "warning:".
        console: Console to print to; standard output by default.
    """
    console = console or rich.console.Console()
    table = rich.table.Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in facts.items():
        # A Text is printed without markup: a path may contain [brackets].
        table.add_row(name, rich.text.Text(text))
    console.print(table)
    for warning in warnings:
        line = rich.text.Text.assemble(("warning:", "yellow"), f" {warning}")
        console.print(line, highlight=False)


def leaves_text(params: Any, mask: Any) -> str:
    """Describes in words which parameters a mask includes and which it excludes.

    Args:
        params: Nested dictionaries of arrays.
        mask: The same structure with booleans as leaves; True includes an array.

    Returns:
        The numbers of included and excluded arrays and parameters, and the names of the excluded
        arrays, such as "21 arrays with 9,000 parameters; excluded: 20 arrays with 64 parameters
        (bias, scale)".
    """
    paths, _ = jax.tree_util.tree_flatten_with_path(params)
    included_sizes = []
    excluded_sizes = []
    excluded_names = set()
    for (path, leaf), is_included in zip(paths, jax.tree.leaves(mask), strict=True):
        if is_included:
            included_sizes.append(leaf.size)
        else:
            excluded_sizes.append(leaf.size)
            excluded_names.add(path[-1].key)
    text = _count(included_sizes)
    if excluded_sizes:
        names = ", ".join(sorted(excluded_names))
        text += f"; excluded: {_count(excluded_sizes)} ({names})"
    return text


def _count(sizes: list[int]) -> str:
    arrays = "array" if len(sizes) == 1 else "arrays"
    return f"{len(sizes)} {arrays} with {sum(sizes):,} parameters"
