"""MoCo v3 for ResNets (Chen, Xie and He 2021, arXiv 2104.02057).

The networks and the moving average are those of BYOL. The loss is contrastive.
"""

from byol_jax import collectives, losses, networks, pickling
from byol_jax.methods import base
from byol_jax.methods.byol import byol


@pickling.picklable
def mocov3(
    encoder: networks.Network,
    projector: networks.Network,
    predictor: networks.Network,
    *,
    temperature: float = 1.0,
    decay: float = 0.99,
    decay_schedule: str = "cosine",
    total_steps: int | None = None,
    axis_name: collectives.AxisName = None,
) -> base.Method:
    """Creates MoCo v3, which identifies the other view's target among the targets of the batch.

    The batch includes the examples of all devices; there is no queue. The loss is 2 * temperature
    times the cross-entropy, summed over the two directions, as in the published code.

    Args:
        encoder: Backbone, images to features [B, F].
        projector: Head, features to projections [B, D].
        predictor: Head, projections to predictions [B, D].
        temperature: Divisor of the cosine similarities, above 0.
        decay: Decay of the target, in [0, 1]; the paper uses 0.99 for 100 and 300 epochs, and 0.996
            for 1000 epochs.
        decay_schedule: "cosine" or "constant"; see byol.
        total_steps: Number of steps of the run, for the cosine.
        axis_name: Name of the mapped device axis; None computes on one device.

    Returns:
        The method.
    """
    method = byol(
        encoder,
        projector,
        predictor,
        decay=decay,
        decay_schedule=decay_schedule,
        total_steps=total_steps,
        axis_name=axis_name,
    )

    def objective(params, outputs, memory, batch, key, step):
        del params, memory, batch, key, step
        predictions = losses.l2_normalize(outputs["predictions"])
        targets = losses.l2_normalize(outputs["targets"])
        first, second = (
            losses.instance_softmax(
                predictions[:, v], targets[:, 1 - v], temperature=temperature, axis_name=axis_name
            )
            for v in range(2)
        )
        return 2.0 * temperature * (first + second), (), {}

    return method._replace(objective=objective, coupled=True)
