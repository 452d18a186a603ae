"""Supervised training, as a baseline."""

import optax

from byol_jax import collectives, networks, pickling
from byol_jax.methods import base


@pickling.picklable
def supervised(
    encoder: networks.Network,
    projector: networks.Network,
    *,
    axis_name: collectives.AxisName = None,
) -> base.Method:
    """Creates supervised training of a classifier with the cross-entropy loss.

    Args:
        encoder: Backbone, images to features [B, F].
        projector: Head, features to class scores [B, num_classes].
        axis_name: Name of the mapped device axis; examples interact only through batch norm.

    Returns:
        The method. The batch must contain `label`.
    """
    nets = {"encoder": encoder, "projector": projector}

    def init(key, views):
        params, stats, _ = base.init_chain(key, nets, views[0])
        return params, stats, ()

    def forward(params, stats, memory, views, key):
        del memory, key
        x, stats = base.apply_chain(nets, params, stats, views[0])
        outputs = {
            "features": base.stack_views([x["encoder"]]),
            "projections": base.stack_views([x["projector"]]),
        }
        return outputs, stats

    def objective(params, outputs, memory, batch, key, step):
        del params, memory, key, step
        scores = outputs["projections"][:, 0]
        return optax.softmax_cross_entropy_with_integer_labels(scores, batch["label"]), (), {}

    def update_memory(memory, params, memory_inputs, step):
        del params, memory_inputs, step
        return memory

    return base.Method(
        init,
        forward,
        objective,
        update_memory,
        coupled=False,
        axis_name=axis_name,
        needs_labels=True,
    )
