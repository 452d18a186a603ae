"""All evaluation protocols by name."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from byol_jax import errors
from byol_jax.evaluation import finetune, knn, linear, logistic
from byol_jax.evaluation.table import Row
from byol_jax.evaluation.tuning import Backbone, Images, Recipe

ON_FEATURES = {"knn": knn.knn, "linear": linear.linear, "logistic": logistic.logistic}
ON_IMAGES = {"probe": finetune.probe, "finetune": finetune.finetune, "semi": finetune.semi}
PROTOCOLS = {**ON_FEATURES, **ON_IMAGES}


class Subject(NamedTuple):
    """What is measured: its features of both splits, and, where it is a network, the network.

    features() gives (train, test), [N, F] each; it is called once, if a protocol asks.
    """

    features: Callable[[], tuple[np.ndarray, np.ndarray]]
    backbone: Backbone | None = None


def accepted(name: str) -> dict[str, Any]:
    """The options of a protocol, with their types."""
    found = _options(PROTOCOLS[name])
    if name in ON_IMAGES:
        found = {**Recipe.__annotations__, **found}
    if name == "probe":  # it is a finetune that leaves the encoder as it is
        found = {**_options(finetune.finetune), **found}
    del found["num_classes"]
    return found


def _options(function):
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.annotation for p in parameters if p.kind == p.KEYWORD_ONLY}


def evaluate(
    subject: Subject,
    train: Images,
    test: Images,
    *,
    num_classes: int,
    protocols: Sequence[str] = ("knn", "linear"),
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Row]:
    """Measures a subject by each of `protocols`, in their order: one Row each, of "semi" several.

    Labels are int [N] in [0, num_classes), or None; the two splits may differ in N. Protocols that
    train from images are left out where the subject is no network.
    options: a protocol's name -> keyword arguments of its function, as {"knn": {"k": 200}}.

    Raises ValueError for an unknown protocol or option, options of a protocol that does not run,
    and labels that are missing, out of range, or do not fit the features.
    """
    options = options or {}
    check(protocols, options)
    rows, found = [], subject.features() if set(protocols) & set(ON_FEATURES) else None
    for name in protocols:
        how = {"num_classes": num_classes, **options.get(name, {})}
        try:
            if name in ON_FEATURES:
                made = ON_FEATURES[name](found[0], train.labels, found[1], test.labels, **how)
            elif subject.backbone is None:
                continue
            else:
                made = ON_IMAGES[name](subject.backbone, train, test, **how)
        except TypeError as error:
            if "unexpected keyword argument" in str(error):
                raise errors.UserError(f"evaluate.options.{name}: {error}.") from error
            raise
        rows += made if isinstance(made, list) else [made]
    return rows


def check(protocols: Sequence[str], options: Mapping[str, Any]) -> None:
    """Raises ValueError for an unknown protocol, and for options of one that does not run."""
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown:
        raise errors.UserError(
            f"there is no protocol {unknown[0]!r}; there are {', '.join(PROTOCOLS)}."
        )
    unused = [name for name in options if name not in protocols]
    if unused:
        raise errors.UserError(
            f"options for {unused[0]!r}, which does not run; the protocols are "
            f"{', '.join(protocols) or 'none'}: add it there or remove its options."
        )
