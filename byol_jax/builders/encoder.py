"""Builds the encoder of a train state, and the metadata to store in the encoder file."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from byol_jax import data, encoders, methods, train_state
from byol_jax.builders import views
from byol_jax.evaluation import tuning
from byol_jax.system import version


def info(
    config: ConfigDict, method: methods.Method, source: data.Source, step: int
) -> encoders.EncoderInfo:
    """Collects the metadata that an encoder's file stores, such as its network and preprocessing.

    Args:
        config: The experiment's config.
        method: The method that trains the encoder.
        source: The training split.
        step: Number of optimizer steps that trained the encoder.

    Returns:
        The metadata.
    """
    view = views.evaluation_settings(config)
    return encoders.EncoderInfo(
        encoder=config.encoder.to_dict(),
        norm=config.batch_norm.get("kind", "batch"),
        image_shape=_image_shape(source, view),
        dtype=source.dtype.name,
        view=view,
        patches=None if method.patches is None else dict(method.patches),
        method=config.method.name,
        data=config.data.name,
        step=step,
        commit=version.commit(),
    )


def of_state(
    config: ConfigDict,
    method: methods.Method,
    source: data.Source,
    state: train_state.TrainState,
) -> encoders.Encoder:
    """Creates an encoder, a function from images to features, from a train state.

    Args:
        config: The experiment's config.
        method: The method that trains the encoder.
        source: The training split.
        state: The train state, on the host.

    Returns:
        The encoder.
    """
    metadata = info(config, method, source, int(state.step))
    return encoders.Encoder(state.params["encoder"], state.stats["encoder"], metadata)


def backbone(config: ConfigDict, encoder: encoders.Encoder) -> tuning.Backbone:
    """Creates the backbone for protocols that train on images.

    Args:
        config: The experiment's config. Without views, random crops follow the encoder's own view.
        encoder: The encoder.

    Returns:
        The backbone.
    """
    view = views.tuning_view(config) if config.views else views.crops(encoder.info.view)
    return tuning.Backbone(
        encoder.network, encoder.params, encoder.stats, encoder.num_features, view, encoder.view
    )


def _image_shape(source: data.Source, view: Mapping[str, Any]) -> tuple[int, int, int]:
    """Returns the shape of the evaluation images.

    Images that differ in size get the smallest shape that the evaluation view does not enlarge.
    """
    if source.has_size:
        return source.image_shape
    side = round(view["size"] / view.get("proportion", 1.0))
    return side, side, source.num_channels
