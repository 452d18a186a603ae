"""Contrastive predictive coding of images (van den Oord, Li and Vinyals 2018, arXiv 1807.03748).

An image is a grid of overlapping patches. From the rows above, a context predicts patches some
rows below, and has to tell them from all other patches of the batch.
"""

import jax
import jax.numpy as jnp

from byol_jax import collectives, errors, losses, networks
from byol_jax.methods import base


def cpc(
    encoder: networks.Network,
    context: networks.Network,
    *,
    patch_size: int,
    patch_stride: int,
    offsets: tuple[int, ...] = (1, 2, 3, 4, 5),
    axis_name: str | None = None,
) -> base.Method:
    """CPC on the first view; its features are the mean over an image's G x G patches.

    encoder: patches [B, patch_size, patch_size, C] -> [B, F]. context: grids [B, G, G, F] -> [B, G,
        G, D], of which a row sees itself and those above (networks.row_context).
    offsets: how many rows below to predict, each by a matrix W of its own: the score of a patch is
        the inner product of its features and W times the context (equation 3 and section 3.3).

    The loss is the mean cross-entropy over an image's predictions, at most log of the number of
    patches of the whole batch. Raises ValueError for an offset that leaves the grid.
    """
    patches = {"size": patch_size, "stride": patch_stride}
    nets = {"encoder": networks.patchwise(encoder, **patches), "context": context}

    def init(key, views):
        net_key, weight_key = jax.random.split(key)
        params, stats, outputs = base.init_chain(net_key, nets, views[0])
        grid, seen = outputs["encoder"].shape, outputs["context"].shape
        _check(offsets, grid[1])
        shape = (len(offsets), seen[-1], grid[-1])
        weights = jax.random.normal(weight_key, shape) / shape[1] ** 0.5
        return {**params, "weights": weights}, stats, ()

    def forward(params, stats, memory, views, key):
        del memory, key
        outputs, stats = base.apply_chain(nets, params, stats, views[0])
        features, seen = outputs["encoder"], outputs["context"]
        outputs = {
            "features": base.stack_views([jnp.mean(features, axis=(1, 2))]),
            "projections": base.stack_views([jnp.mean(seen, axis=(1, 2))]),
            "patches": features,
            "predictions": jnp.einsum("bijd,kdf->bkijf", seen, params["weights"]),
        }
        return outputs, stats

    def objective(outputs, memory, batch, key):
        del memory, batch, key
        features, predictions = outputs["patches"], outputs["predictions"]
        rows = collectives.all_gather(features, axis_name).reshape(-1, features.shape[-1])
        number = collectives.row_index(features[..., 0].size, axis_name).reshape(features.shape[:3])
        each = []  # of every prediction, the cross-entropy
        for k, offset in enumerate(offsets):
            queries = predictions[:, k, :-offset].reshape(-1, features.shape[-1])
            index = number[:, offset:].reshape(-1)
            cross_entropy = losses.instance_softmax(queries, rows, index, temperature=1.0)
            each.append(cross_entropy.reshape(len(features), -1))
        return jnp.mean(jnp.concatenate(each, axis=1), axis=1), (), {}

    def remember(memory, params, kept, step):
        del params, kept, step
        return memory

    return base.Method(init, forward, objective, remember, coupled=True, patches=patches)


def _check(offsets, num_rows):
    if not offsets or not all(0 < offset < num_rows for offset in offsets):
        raise errors.UserError(
            f"offsets {offsets} must be in [1, {num_rows - 1}]: the grid has {num_rows} rows of "
            "patches; choose smaller ones, a smaller patch_size or patch_stride, or larger views."
        )
