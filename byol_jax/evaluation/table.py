"""The result of one evaluation protocol, and a table that compares several results."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import rich.table

MOST_CLASSES = 100  # no confusion matrix for more classes
# Column titles; the title of any other protocol is its name.
_TITLES = {"knn": "kNN (k={k}, T={temperature:g})"}


class Row(NamedTuple):
    """One measured accuracy, with the settings that reproduce it.

    Attributes:
        protocol: Name of the protocol; a column of the table.
        accuracy: Accuracy on the test split, in [0, 1].
        settings: Everything needed to repeat the measurement, including the sizes of the splits.
        confusion: Confusion matrix: confusion[i][j] counts the test examples of class i that were
            classified as j. None for more than MOST_CLASSES classes.
    """

    protocol: str
    accuracy: float
    settings: dict[str, Any]
    confusion: tuple[tuple[int, ...], ...] | None = None


def confusion(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int
) -> tuple[tuple[int, ...], ...] | None:
    """Computes the confusion matrix of predicted classes.

    Args:
        labels: True classes, int [N].
        predictions: Predicted classes, int [N].
        num_classes: Number of classes.

    Returns:
        Counts by true class (rows) and predicted class (columns), or None for more than
        MOST_CLASSES classes.
    """
    if num_classes > MOST_CLASSES:
        return None
    counts = np.zeros((num_classes, num_classes), int)
    np.add.at(counts, (np.asarray(labels), np.asarray(predictions)), 1)
    return tuple(map(tuple, counts.tolist()))


def make_row(
    protocol: str,
    settings: dict[str, Any],
    *,
    labels: np.ndarray,
    predictions: np.ndarray,
    num_classes: int,
) -> Row:
    """Creates the result row of a protocol from its predictions.

    Args:
        protocol: Name of the protocol.
        settings: Settings of the protocol.
        labels: True classes of the test examples, int [N].
        predictions: Predicted classes, int [N].
        num_classes: Number of classes.

    Returns:
        The result of the protocol.
    """
    accuracy = float(np.mean(predictions == np.asarray(labels)))
    return Row(protocol, accuracy, settings, confusion(labels, predictions, num_classes))


def table(rows_by_name: Mapping[str, Sequence[Row]]) -> rich.table.Table:
    """Builds a table of accuracies in percent, to be printed with rich.print.

    Each line is one set of features, such as "learned" or "raw pixels", and each column is one
    protocol. kNN with another k or temperature gets its own column. A dash marks a protocol that
    did not measure these features.

    Args:
        rows_by_name: Results by the name of the features.

    Returns:
        The table.
    """
    cells = {
        name: {_title(row): f"{100.0 * row.accuracy:.2f}" for row in rows}
        for name, rows in rows_by_name.items()
    }
    titles = list(dict.fromkeys(title for columns in cells.values() for title in columns))
    result = rich.table.Table(title="Accuracy on the test split (%)")
    result.add_column("features")
    for title in titles:
        result.add_column(title, justify="right")
    for name, columns in cells.items():
        result.add_row(name, *(columns.get(title, "–") for title in titles))
    return result


def _title(row: Row) -> str:
    return _TITLES.get(row.protocol, row.protocol).format(**row.settings)
