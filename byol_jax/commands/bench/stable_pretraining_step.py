"""The stable-pretraining peer of `bench step`: SimCLR of its JAX backend, by its trainer."""

from collections.abc import Callable
from importlib import metadata

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict


def make(config: ConfigDict, views: np.ndarray) -> Callable[[], None]:
    """Makes a function that performs one train step of SimCLR with stable-pretraining.

    Its trainer trains one epoch of one batch, which includes waiting for the loss.

    Args:
        config: The experiment's config, one that `peers.make` supports.
        views: The two views of a batch, float32 [B, 2, h, w, 3].

    Returns:
        A function without arguments that takes one step on these views.
    """
    import stable_pretraining.jax as spt  # pyright: ignore[reportMissingImports]
    from flax import nnx

    version = metadata.version("stable-pretraining")
    print(
        f"stable_pretraining {version}, jax {jax.__version__}, {config.precision}, both views as "
        "one batch, a projector without batch norm, SGD"
    )
    rngs = nnx.Rngs(config.seed)
    dtype = jnp.dtype(config.precision)
    encoder = getattr(spt.backbone, config.encoder.name)(
        rngs=rngs, low_resolution=config.encoder.get("stem") == "cifar", dtype=dtype
    )
    optimizer = optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(1e-3, momentum=0.9))
    model = spt.SimCLR(
        backbone=encoder,
        embed_dim=encoder.embed_dim,
        rngs=rngs,
        projector_dims=tuple(config.projector.widths),
        temperature=config.method.get("temperature", 0.1),
        optim=optimizer,
        dtype=dtype,
    )
    batch = {"views": [{"image": jnp.asarray(views[:, view])} for view in range(2)]}

    def call():
        spt.Trainer(max_epochs=1).fit(model, [batch])

    return call
