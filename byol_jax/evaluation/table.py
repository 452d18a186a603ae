"""The result of one evaluation, and results side by side."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import rich.table

MOST_CLASSES = 100  # of a confusion table that is kept
_TITLES = {"knn": "kNN (k={k}, T={temperature:g})"}  # of columns; other protocols: their name


class Row(NamedTuple):
    """One measured accuracy and how it was made.

    protocol: its name, a column of the table.  accuracy: on the test split, a fraction in [0, 1].
    settings: whatever it takes to measure the same again, the sizes of the splits included.
    confusion: how many test examples of each class (rows) were taken for each (columns).
    """

    protocol: str
    accuracy: float
    settings: dict[str, Any]
    confusion: tuple[tuple[int, ...], ...] | None = None


def confusion(
    labels: np.ndarray, guesses: np.ndarray, num_classes: int
) -> tuple[tuple[int, ...], ...] | None:
    """The counts of Row, of labels and guesses int [N]; None for more than MOST_CLASSES."""
    if num_classes > MOST_CLASSES:
        return None
    counts = np.zeros((num_classes, num_classes), int)
    np.add.at(counts, (np.asarray(labels), np.asarray(guesses)), 1)
    return tuple(map(tuple, counts.tolist()))


def table(rows_by_name: Mapping[str, Sequence[Row]]) -> rich.table.Table:
    """One line per name ("learned", "untrained", "raw pixels"), one column per protocol, in percent.

    Rows measured with different k or temperature get columns of their own; what was not measured
    shows as a dash. Print it with rich.print.
    """
    cells = {
        name: {_title(row): f"{100.0 * row.accuracy:.2f}" for row in rows}
        for name, rows in rows_by_name.items()
    }
    titles = list(dict.fromkeys(title for columns in cells.values() for title in columns))
    result = rich.table.Table(title="accuracy on the test split, %")
    result.add_column("features")
    for title in titles:
        result.add_column(title, justify="right")
    for name, columns in cells.items():
        result.add_row(name, *(columns.get(title, "–") for title in titles))
    return result


def _title(row: Row) -> str:
    return _TITLES.get(row.protocol, row.protocol).format(**row.settings)
