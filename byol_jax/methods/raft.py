"""RAFT: Run Away From your Teacher (Shi et al. 2020, arXiv 2011.10944).

BYOL moves the online network towards its target network. RAFT aligns the two views and moves the
online network away from the target.
"""

import jax
import jax.numpy as jnp

from byol_jax import collectives, losses, networks, pickling
from byol_jax.methods import base
from byol_jax.methods.byol import byol


@pickling.picklable
def raft(
    encoder: networks.Network,
    projector: networks.Network,
    predictor: networks.Network | None = None,
    *,
    align_weight: float = 1.0,
    away_weight: float = 1.0,
    predictor_runs: bool = True,
    decay: float = 0.996,
    decay_schedule: str = "cosine",
    total_steps: int | None = None,
    axis_name: collectives.AxisName = None,
) -> base.Method:
    """Creates RAFT, which aligns the predictions of two views and moves them away from the target.

    The loss is align_weight * d(prediction, prediction of the other view) - away_weight *
    d(prediction, target of the same view), where d is the distance 2 - 2 cos. It lies in
    [-4 * away_weight, 4 * align_weight].

    Args:
        encoder: Backbone, images to features [B, F].
        projector: Head, features to projections [B, D].
        predictor: Head, projections to predictions [B, D]; None uses the projections.
        align_weight: Weight of the first term.
        away_weight: Weight of the second term.
        predictor_runs: False stops the gradient of the second term at the predictor's parameters,
            so that only the encoder and the projector move away; the value of that term is then 0.
        decay: Decay of the target, in [0, 1].
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

    def forward(params, stats, memory, views, key):
        outputs, new_stats = method.forward(params, stats, memory, views, key)
        if predictor_runs or predictor is None:
            return outputs, new_stats
        # The same predictions again; their gradient reaches the predictor only. The objective
        # subtracts their distance, which cancels the predictor's gradient.
        projections = jnp.moveaxis(jax.lax.stop_gradient(outputs["projections"]), 1, 0)
        stopped, _ = base.apply_views({"predictor": predictor}, params, stats, list(projections))
        return {**outputs, "stopped": stopped["predictor"]}, new_stats

    def objective(params, outputs, memory, batch, key, step):
        del params, memory, batch, key, step
        predictions = outputs["predictions"]
        align = losses.normalized_squared_error(predictions[:, 0], predictions[:, 1])
        away = _distance(predictions, outputs["targets"])
        if "stopped" in outputs:
            away = away - _distance(outputs["stopped"], outputs["targets"])
        return align_weight * align - away_weight * away, (), {"align": jnp.mean(align)}

    return method._replace(forward=forward, objective=objective)


def _distance(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Returns the distances [B] between prediction and target of each view, averaged over views."""
    first, second = (
        losses.normalized_squared_error(predictions[:, v], targets[:, v]) for v in range(2)
    )
    return (first + second) / 2.0
