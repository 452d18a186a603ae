"""A simple framework for contrastive learning (Chen et al. 2020, arXiv 2002.05709)."""

from byol_jax import losses, networks
from byol_jax.methods import base


def simclr(
    encoder: networks.Network,
    projector: networks.Network,
    *,
    temperature: float = 0.1,
    sum_directions: bool = False,
    joint_views: bool = True,
    axis_name: str | None = None,
) -> base.Method:
    """SimCLR with two views, contrasted over the batches of all devices.

    sum_directions: add the two directions, as the published code does, instead of the paper's
        mean; biases and norm scales, which LARS does not adapt, notice the factor of 2.
    joint_views: both views pass the networks as one batch, so that batch norm sees them together,
        as in the published code; False normalizes each view by itself.
    """
    nets = {"encoder": encoder, "projector": projector}

    def init(key, views):
        params, stats, _ = base.init_chain(key, nets, views[0])
        return params, stats, ()

    def forward(params, stats, memory, views, key):
        del memory, key
        seen, stats = base.apply_views(nets, params, stats, views, jointly=joint_views)
        return {"features": seen["encoder"], "projections": seen["projector"]}, stats

    def objective(outputs, memory, batch, key):
        del memory, batch, key
        a, b = outputs["projections"][:, 0], outputs["projections"][:, 1]
        each = losses.nt_xent(a, b, temperature=temperature, axis_name=axis_name)
        return (2.0 * each if sum_directions else each), (), {}

    def remember(memory, params, kept, step):
        del params, kept, step
        return memory

    return base.Method(init, forward, objective, remember, coupled=True)
