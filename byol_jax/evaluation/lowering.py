"""Lowers what the protocols compute on a device from shapes only, to plan the memory."""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from byol_jax.evaluation import features, finetune, knn, linear, logistic, protocols
from byol_jax.evaluation.tuning import Backbone, Recipe, Tuner
from byol_jax.system import devices


class Sizes(NamedTuple):
    """The sizes on which the memory of an evaluation depends.

    Attributes:
        num_train: Number of training examples, N.
        num_features: Number of features, F.
        num_classes: Number of classes.
        image_shape: Height, width and channels of the images.
        dtype: Name of the data type of the images.
        num_devices: Number of devices over which protocols on images divide a batch.
    """

    num_train: int
    num_features: int
    num_classes: int
    image_shape: tuple[int, ...]
    dtype: str
    num_devices: int


def lower(
    protocol: str, options: Mapping[str, Any], sizes: Sizes, backbone: Backbone, device: Any
) -> dict[str, jax.stages.Lowered]:
    """Lowers the programs of a protocol that take the most memory.

    Args:
        protocol: A key of protocols.PROTOCOLS.
        options: Keyword arguments of the protocol.
        sizes: The sizes.
        backbone: The encoder; its leaves may be jax.ShapeDtypeStruct. Only protocols on images use
            it.
        device: JAX device to compile for; it need not be attached.

    Returns:
        The lowered programs, by what they compute.
    """
    parameters = inspect.signature(protocols.PROTOCOLS[protocol]).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    arguments = {**defaults, **options}
    if protocol in protocols.ON_IMAGES:
        return _on_images(protocol, arguments, sizes, backbone, device)
    return {protocol: _on_features(protocol, arguments, sizes, device)}


def _on_features(protocol, arguments, sizes, device) -> jax.stages.Lowered:
    place = devices.replicated([device])

    def array(*shape, dtype="float32"):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=place)

    num_train = sizes.num_train
    num_features = sizes.num_features
    num_classes = sizes.num_classes
    rows = array(num_train, num_features)
    labels = array(num_train, dtype="int32")
    if protocol == "knn":
        return knn.scores.lower(
            array(arguments["batch_size"], num_features),
            rows=rows,
            labels=labels,
            num_classes=num_classes,
            k=min(arguments["k"], num_train),
            temperature=arguments["temperature"],
        )
    if protocol == "logistic":
        weights = array(num_features + 1, num_classes)
        return logistic.value_and_grad.lower(weights, rows, labels, array())
    batch_size = min(arguments["batch_size"], num_train)
    steps = arguments["epochs"] * num_train // batch_size
    order = array(steps, batch_size, dtype="int32")
    settings = array(len(arguments["learning_rates"]) * len(arguments["weight_decays"]))
    return linear.fit.lower(rows, labels, order, settings, settings, num_classes=num_classes)


def _on_images(protocol, arguments, sizes, backbone, device) -> dict[str, jax.stages.Lowered]:
    if protocol == "probe":
        arguments = {**finetune.PROBES[arguments["recipe"]], **arguments, "frozen": True}
    recipe = Recipe(**{name: arguments[name] for name in Recipe._fields if name in arguments})
    tuner = Tuner(backbone, sizes.num_classes, recipe)
    place = devices.replicated([device])

    def images(batch_size):
        whole, rest = divmod(batch_size, sizes.num_devices)
        rows = batch_size if rest else whole  # a batch that does not divide evenly is on one device
        return jax.ShapeDtypeStruct((rows, *sizes.image_shape), sizes.dtype, sharding=place)

    train, test = tuner.lower(
        images(min(recipe.batch_size, sizes.num_train)), images(features.BATCH)
    )
    return {f"{protocol}, training": train, f"{protocol}, testing": test}
