"""SimCLR (Chen et al. 2020, arXiv 2002.05709)."""

from byol_jax import collectives, losses, networks, pickling
from byol_jax.methods import base


@pickling.picklable
def simclr(
    encoder: networks.Network,
    projector: networks.Network,
    *,
    temperature: float = 0.1,
    sum_directions: bool = False,
    joint_views: bool = True,
    axis_name: collectives.AxisName = None,
) -> base.Method:
    """Creates SimCLR, which identifies the other view of an image among all views of the batch.

    The loss is losses.nt_xent, over the batches of all devices. The method needs two views.

    Args:
        encoder: Backbone, images to features [B, F].
        projector: Head, features to projections [B, D].
        temperature: Divisor of the cosine similarities, above 0.
        sum_directions: True adds the losses of the two directions, as the published code does.
            False takes their mean, as the paper does. With LARS the factor of 2 affects only biases
            and normalization scales, whose learning rate LARS does not adapt.
        joint_views: True passes both views through the networks as one batch, as the published code
            does, so that batch norm normalizes them together. False normalizes each view
            separately.
        axis_name: Name of the mapped device axis; None computes on one device.

    Returns:
        The method.
    """
    nets = {"encoder": encoder, "projector": projector}

    def init(key, views):
        base.check_views(views, 2)
        params, stats, _ = base.init_chain(key, nets, views[0])
        return params, stats, ()

    def forward(params, stats, memory, views, key):
        del memory, key
        base.check_views(views, 2)
        x, stats = base.apply_views(nets, params, stats, views, jointly=joint_views)
        return {"features": x["encoder"], "projections": x["projector"]}, stats

    def objective(params, outputs, memory, batch, key, step):
        del params, memory, batch, key, step
        a = outputs["projections"][:, 0]
        b = outputs["projections"][:, 1]
        loss = losses.nt_xent(a, b, temperature=temperature, axis_name=axis_name)
        return (2.0 * loss if sum_directions else loss), (), {}

    def update_memory(memory, params, memory_inputs, step):
        del params, memory_inputs, step
        return memory

    return base.Method(init, forward, objective, update_memory, coupled=True, axis_name=axis_name)
