"""What a run is about to do, before it does it."""

from collections.abc import Mapping, Sequence

import chex
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
    """Prints the facts as a table of two columns, and below it each warning on its own."""
    console = console or rich.console.Console()
    table = rich.table.Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in facts.items():
        table.add_row(name, rich.text.Text(text))  # as it is: a path may hold [brackets]
    console.print(table)
    for warning in warnings:
        told = rich.text.Text.assemble(("warning:", "yellow"), f" {warning}")
        console.print(told, highlight=False)


def leaves_text(params: chex.ArrayTree, mask: chex.ArrayTree) -> str:
    """Which arrays of params the mask is True at, counted, and the names of the others."""
    paths, _ = jax.tree_util.tree_flatten_with_path(params)
    chosen, left = [], []
    for (path, leaf), inside in zip(paths, jax.tree.leaves(mask), strict=True):
        (chosen if inside else left).append((path[-1].key, leaf.size))

    def count(leaves):
        return f"{len(leaves)} arrays, {sum(size for _, size in leaves):,} numbers"

    names = ", ".join(sorted({name for name, _ in left}))
    return count(chosen) + (f"; not: {count(left)} ({names})" if left else "")
