"""All evaluation protocols by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from byol_jax.evaluation import knn, linear
from byol_jax.evaluation.table import Row

PROTOCOLS = {"knn": knn.knn, "linear": linear.linear}


def evaluate(
    train_features: np.ndarray,
    train_labels: np.ndarray | None,
    test_features: np.ndarray,
    test_labels: np.ndarray | None,
    *,
    num_classes: int,
    protocols: Sequence[str] = ("knn", "linear"),
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Row]:
    """Measures frozen features by each of `protocols`, in their order: one Row each.

    Features are float [N, F], labels int [N] in [0, num_classes); the two splits may differ in N.
    options: a protocol's name -> keyword arguments of its function, as {"knn": {"k": 200}}.

    Raises ValueError for an unknown protocol, options of a protocol that does not run, and labels
    that are missing, out of range, or do not fit the features.
    """
    options = options or {}
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown:
        raise ValueError(f"there is no protocol {unknown[0]!r}; there are {', '.join(PROTOCOLS)}.")
    unused = [name for name in options if name not in protocols]
    if unused:
        raise ValueError(
            f"options for {unused[0]!r}, which does not run; the protocols are "
            f"{', '.join(protocols) or 'none'}: add it there or remove its options."
        )
    splits = (train_features, train_labels, test_features, test_labels)
    return [
        PROTOCOLS[name](*splits, num_classes=num_classes, **options.get(name, {}))
        for name in protocols
    ]
