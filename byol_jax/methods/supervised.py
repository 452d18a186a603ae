"""Cross-entropy on labels: the baseline to stand beside."""

import optax

from byol_jax import networks
from byol_jax.methods import base


def supervised(
    encoder: networks.Network, projector: networks.Network, *, axis_name: str | None = None
) -> base.Method:
    """Trains a classifier on one view; the projector's outputs are the classes' scores."""
    del axis_name  # no example meets another
    nets = {"encoder": encoder, "projector": projector}

    def init(key, views):
        params, stats, _ = base.init_chain(key, nets, views[0])
        return params, stats, ()

    def forward(params, stats, memory, views, key):
        del memory, key
        seen, stats = base.apply_chain(nets, params, stats, views[0])
        outputs = {
            "features": base.stack_views([seen["encoder"]]),
            "projections": base.stack_views([seen["projector"]]),
        }
        return outputs, stats

    def objective(outputs, memory, batch, key):
        del memory, key
        scores = outputs["projections"][:, 0]
        return optax.softmax_cross_entropy_with_integer_labels(scores, batch["label"]), (), {}

    def remember(memory, params, kept, step):
        del params, kept, step
        return memory

    return base.Method(init, forward, objective, remember, coupled=False, needs_labels=True)
