"""RAFT: Run Away From your Teacher (Shi et al. 2020, arXiv 2011.10944).

BYOL runs towards its target network; RAFT aligns two views and runs away from the target.
"""

import jax
import jax.numpy as jnp

from byol_jax import losses, networks
from byol_jax.methods import base
from byol_jax.methods.byol import byol


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
    axis_name: str | None = None,
) -> base.Method:
    """Minimizes align_weight * d(online, other view) - away_weight * d(online, target, same view).

    d is 2 - 2 cos of the predictions, so that the loss is in [-4 * away_weight, 4 * align_weight].
    predictor_runs: False keeps the second term's gradient from the predictor, so that the encoder
        and projector alone run away; the value of that term is then 0.
    decay, decay_schedule, total_steps: as in `byol`, whose networks these are.
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
        outputs, moved = method.forward(params, stats, memory, views, key)
        if predictor_runs or predictor is None:
            return outputs, moved
        stopped = jnp.moveaxis(jax.lax.stop_gradient(outputs["projections"]), 1, 0)
        still, _ = base.apply_views({"predictor": predictor}, params, stats, stopped)
        return {**outputs, "still": still["predictor"]}, moved

    def objective(outputs, memory, batch, key):
        del memory, batch, key
        predictions = outputs["predictions"]
        align = losses.cosine_distance(predictions[:, 0], predictions[:, 1])
        away = _distance(predictions, outputs["targets"])
        if "still" in outputs:
            away = away - _distance(outputs["still"], outputs["targets"])
        return align_weight * align - away_weight * away, (), {"align": jnp.mean(align)}

    return method._replace(forward=forward, objective=objective)


def _distance(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean over the views of the distance to the same view's target: [B]."""
    first, second = (losses.cosine_distance(predictions[:, v], targets[:, v]) for v in range(2))
    return (first + second) / 2.0
