"""MoCo v3 in its ResNet form (Chen, Xie and He 2021, arXiv 2104.02057).

BYOL's networks and moving average, with a contrast over the batch in place of the distance.
"""

from byol_jax import collectives, losses, networks
from byol_jax.methods import base
from byol_jax.methods.byol import byol


def mocov3(
    encoder: networks.Network,
    projector: networks.Network,
    predictor: networks.Network,
    *,
    temperature: float = 1.0,
    decay: float = 0.99,
    decay_schedule: str = "cosine",
    total_steps: int | None = None,
    axis_name: str | None = None,
) -> base.Method:
    """Each view's prediction finds the other view's target among those of all devices; no queue.

    The loss is 2 * temperature times the cross-entropy, summed over the two directions, as in the
    published code. decay, decay_schedule, total_steps: as in `byol`; the paper's decay is 0.99 for
    100 and 300 epochs, 0.996 for 1000.
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

    def objective(outputs, memory, batch, key):
        del memory, batch, key
        predictions = losses.l2_normalize(outputs["predictions"])
        rows = collectives.all_gather(losses.l2_normalize(outputs["targets"]), axis_name)
        index = collectives.row_index(len(predictions), axis_name)
        first, second = (
            losses.instance_softmax(
                predictions[:, v], rows[:, 1 - v], index, temperature=temperature
            )
            for v in range(2)
        )
        return 2.0 * temperature * (first + second), (), {}

    return method._replace(objective=objective, coupled=True)
