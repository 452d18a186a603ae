"""The evaluation protocols by name, and a function that runs several of them."""

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
    """What to evaluate: features, and optionally the network that computes them.

    Attributes:
        features: Returns the training features [N, F] and the test features [M, F]. It is called
            once, and only if a protocol needs features.
        backbone: The network for protocols that train on images; None if the features do not come
            from a network.
    """

    features: Callable[[], tuple[np.ndarray, np.ndarray]]
    backbone: Backbone | None = None


def accepted(name: str) -> dict[str, Any]:
    """Returns the options of an evaluation protocol with their types.

    Args:
        name: A key of PROTOCOLS.

    Returns:
        The type annotations by option.
    """
    options = _keyword_annotations(PROTOCOLS[name])
    if name in ON_IMAGES:
        options = {**Recipe.__annotations__, **options}
    if name == "probe":  # a probe is a finetune with a frozen encoder and has its options
        options = {**_keyword_annotations(finetune.finetune), **options}
    del options["num_classes"]
    return options


def _keyword_annotations(function) -> dict[str, Any]:
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
    """Runs evaluation protocols in the given order.

    Protocols that train on images are skipped if the subject has no network.

    Args:
        subject: The features or the network to evaluate.
        train: Training split, with labels in [0, num_classes).
        test: Test split, with labels in [0, num_classes).
        num_classes: Number of classes.
        protocols: Names of the protocols, keys of PROTOCOLS.
        options: Keyword arguments by protocol, such as {"knn": {"k": 200}}.

    Returns:
        One row per protocol; one row per fraction of labels for "semi".

    Raises:
        UserError: If a protocol or an option is unknown, if options belong to a protocol that does
            not run, or if labels are missing, out of range, or do not fit the features.
    """
    options = options or {}
    check(protocols, options)
    features = subject.features() if set(protocols) & set(ON_FEATURES) else None
    rows = []
    for name in protocols:
        arguments = {"num_classes": num_classes, **options.get(name, {})}
        try:
            if features is not None and name in ON_FEATURES:
                train_features, test_features = features
                protocol = ON_FEATURES[name]
                result = protocol(
                    train_features, train.labels, test_features, test.labels, **arguments
                )
            elif subject.backbone is None:
                continue
            else:
                result = ON_IMAGES[name](subject.backbone, train, test, **arguments)
        except TypeError as error:
            if "unexpected keyword argument" in str(error):
                raise errors.UserError(f"evaluate.options.{name}: {error}.") from error
            raise
        rows += result if isinstance(result, list) else [result]
    return rows


def check(protocols: Sequence[str], options: Mapping[str, Any]) -> None:
    """Checks the names of the selected protocols, and that options are given only for these.

    Args:
        protocols: Names of the protocols to run.
        options: Options by protocol.

    Raises:
        UserError: If a protocol is unknown, or if a protocol has options but is not selected.
    """
    for name in protocols:
        if name not in PROTOCOLS:
            names = ", ".join(PROTOCOLS)
            raise errors.UserError(f"unknown protocol {name!r}; the protocols are {names}.")
    for name in options:
        if name not in protocols:
            names = ", ".join(protocols) or "none"
            raise errors.UserError(
                f"protocol {name!r} has options but is not selected (selected: {names}); add it to "
                "the protocols or remove its options."
            )
