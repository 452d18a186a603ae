"""Contrastive predictive coding of images (van den Oord, Li and Vinyals 2018, arXiv 1807.03748).

An image is split into a grid of overlapping patches. A context network reads the rows of patches
down to some row, and predicts the features of patches in rows below.
"""

import jax
import jax.numpy as jnp

from byol_jax import collectives, errors, losses, networks, pickling
from byol_jax.methods import base


@pickling.picklable
def cpc(
    encoder: networks.Network,
    context: networks.Network,
    *,
    patch_size: int,
    patch_stride: int,
    offsets: tuple[int, ...] = (1, 2, 3, 4, 5),
    axis_name: collectives.AxisName = None,
) -> base.Method:
    """Creates CPC, which predicts a patch and must recognize it among all patches of the batch.

    The score of a patch is the inner product of its features and W times the context, with one
    matrix W per offset (equation 3 and section 3.3). The loss is the mean cross-entropy of an
    image's predictions. The features of an image are the mean over its G x G patches.

    Args:
        encoder: Backbone, patches [B, patch_size, patch_size, C] to features [B, F].
        context: Network from grids of features [B, G, G, F] to contexts [B, G, G, D], in which a
            row depends only on itself and the rows above; see networks.row_context.
        patch_size: Side of a patch in pixels.
        patch_stride: Distance between neighboring patches in pixels.
        offsets: The rows to predict, as numbers of rows below the context.
        axis_name: Name of the mapped device axis; None computes on one device.

    Returns:
        The method. Its init raises UserError if an offset exceeds the grid.
    """
    patches = {"size": patch_size, "stride": patch_stride}
    nets = {"encoder": networks.patchwise(encoder, **patches), "context": context}

    def init(key, views):
        net_key, weight_key = jax.random.split(key)
        params, stats, outputs = base.init_chain(net_key, nets, views[0])
        grid_shape = outputs["encoder"].shape
        _check(offsets, grid_shape[1])
        shape = (len(offsets), outputs["context"].shape[-1], grid_shape[-1])
        weights = jax.random.normal(weight_key, shape) / shape[1] ** 0.5
        return {**params, "weights": weights}, stats, ()

    def forward(params, stats, memory, views, key):
        del memory, key
        outputs, stats = base.apply_chain(nets, params, stats, views[0])
        features = outputs["encoder"]
        contexts = outputs["context"]
        outputs = {
            "features": base.stack_views([jnp.mean(features, axis=(1, 2))]),
            "projections": base.stack_views([jnp.mean(contexts, axis=(1, 2))]),
            "patches": features,
            "predictions": jnp.einsum("bijd,kdf->bkijf", contexts, params["weights"]),
        }
        return outputs, stats

    def objective(params, outputs, memory, batch, key, step):
        del params, memory, batch, key, step
        features = outputs["patches"]
        predictions = outputs["predictions"]
        rows = collectives.all_gather(features, axis_name).reshape(-1, features.shape[-1])
        number = collectives.row_index(features[..., 0].size, axis_name).reshape(features.shape[:3])
        cross_entropies = []  # [B, predictions] per offset
        for k, offset in enumerate(offsets):
            queries = predictions[:, k, :-offset].reshape(-1, features.shape[-1])
            index = number[:, offset:].reshape(-1)
            cross_entropy = losses.instance_softmax(queries, rows, index, temperature=1.0)
            cross_entropies.append(cross_entropy.reshape(len(features), -1))
        return jnp.mean(jnp.concatenate(cross_entropies, axis=1), axis=1), (), {}

    def update_memory(memory, params, memory_inputs, step):
        del params, memory_inputs, step
        return memory

    return base.Method(
        init, forward, objective, update_memory, coupled=True, axis_name=axis_name, patches=patches
    )


def _check(offsets, num_rows):
    if not offsets or not all(0 < offset < num_rows for offset in offsets):
        raise errors.UserError(
            f"offsets {offsets} must be in [1, {num_rows - 1}], since the grid has {num_rows} "
            "rows of patches; choose smaller offsets, a smaller patch_size or patch_stride, or "
            "larger views."
        )
