"""The encoder of a run, apart from its method: what its file says of it, and the encoder itself."""

from ml_collections import ConfigDict

from byol_jax import data, encoders, methods, train_state
from byol_jax.builders import views
from byol_jax.system import version


def about(
    config: ConfigDict, method: methods.Method, source: data.Source, step: int
) -> encoders.About:
    """What a file says of the encoder of a run, whose training split is `source`."""
    view = views.evaluation_settings(config)
    return encoders.About(
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
    """The encoder of a train state on the host."""
    described = about(config, method, source, int(state.step))
    return encoders.Encoder(state.params["encoder"], state.stats["encoder"], described)


def _image_shape(source, view):
    """That of the evaluation's images; without one, the least that its view needs not enlarge."""
    if source.has_size:
        return source.image_shape
    side = round(view["size"] / view.get("proportion", 1.0))
    return side, side, source.num_channels
