"""Evaluation of encoders and of frozen features.

Modules:
    knn: `knn.knn`, a k-nearest-neighbour classifier on features.
    linear: `linear.linear`, a softmax classifier trained by SGD on features.
    logistic: `logistic.logistic`, logistic regression solved by L-BFGS on features.
    finetune: `finetune.probe`, `finetune.finetune` and `finetune.semi`, which train on images; and
        `finetune.subset`, which picks a few labels per class.
    protocols: all of these protocols by name.
    features: feature extraction, and helpers that the protocols share.
    tuning: the training loop of the protocols that train on images.
    table: the result of a protocol, and a table that compares results.

`evaluate` runs several protocols by name on a `Subject` and two splits of `Images`. It returns a
`Row` for each accuracy. `extract` applies an encoder to images in batches. Import each module from
this package, as in `from byol_jax.evaluation import knn`. Modules load when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from byol_jax.evaluation import (
        features,
        finetune,
        knn,
        linear,
        logistic,
        protocols,
        table,
        tuning,
    )
    from byol_jax.evaluation.features import extract
    from byol_jax.evaluation.protocols import Subject, evaluate
    from byol_jax.evaluation.table import Row
    from byol_jax.evaluation.tuning import Backbone, Images

__all__ = [
    "Backbone",
    "Images",
    "Row",
    "Subject",
    "evaluate",
    "extract",
    "features",
    "finetune",
    "knn",
    "linear",
    "logistic",
    "protocols",
    "table",
    "tuning",
]
_MODULES = {
    "Backbone": "tuning",
    "Images": "tuning",
    "Row": "table",
    "Subject": "protocols",
    "evaluate": "protocols",
    "extract": "features",
}


def __getattr__(name: str) -> Any:
    """Imports a public name on first use; raises AttributeError for any other name."""
    if name not in __all__:
        names = ", ".join(__all__)
        raise AttributeError(f"byol_jax.evaluation has no {name!r}; it has {names}")
    module = importlib.import_module(f"byol_jax.evaluation.{_MODULES.get(name, name)}")
    return getattr(module, name) if name in _MODULES else module


def __dir__() -> list[str]:
    """Returns the public names."""
    return __all__
