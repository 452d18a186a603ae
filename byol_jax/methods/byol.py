"""Bootstrap Your Own Latent (Grill et al. 2020, arXiv 2006.07733).

The online network predicts, from one view, what a slowly moving target network says of the other.
"""

from collections.abc import Callable

import jax

from byol_jax import ema, losses, networks
from byol_jax.methods import base


def byol(
    encoder: networks.Network,
    projector: networks.Network,
    predictor: networks.Network,
    *,
    decay: float = 0.996,
    decay_schedule: str = "cosine",
    total_steps: int | None = None,
    target_stats: str = "own",
    separate_target: bool = False,
    axis_name: str | None = None,
) -> base.Method:
    """BYOL with two views; its loss is between 0 and 8: two directions of 2 - 2 cos.

    decay: of the target; rises to 1 over total_steps where decay_schedule is "cosine", stays where
        it is "constant".
    separate_target: draw the target's first parameters anew, as the published code does, instead
        of copying the online network's.

    Raises ValueError for another decay_schedule, and for a cosine without total_steps.
    """
    del axis_name  # the batch couples through batch norm alone
    online = {"encoder": encoder, "projector": projector}
    decay_at = _decay(decay, decay_schedule, total_steps)

    def init(key, views):
        online_key, predictor_key, target_key = jax.random.split(key, 3)
        params, stats = base.init_chain(online_key, online, views[0])
        target = params
        if separate_target:
            target, _ = base.init_chain(target_key, online, views[0])
        features, _ = encoder.apply(params["encoder"], stats["encoder"], views[0], train=False)
        projected, _ = projector.apply(
            params["projector"], stats["projector"], features, train=False
        )
        predictor_params, predictor_stats = predictor.init(predictor_key, projected)
        params = {**params, "predictor": predictor_params}
        return params, {**stats, "predictor": predictor_stats, "target": stats}, target

    def forward(params, stats, memory, views, key):
        del key
        nets = {**online, "predictor": predictor}
        online_stats = {name: stats[name] for name in nets}
        target_moved = stats["target"]
        seen, targets = [], []
        for view in views:
            outputs, online_stats = base.apply_chain(nets, params, online_stats, view)
            seen.append(outputs)
        for view in views:
            outputs, target_moved = base.apply_chain(online, memory, target_moved, view)
            targets.append(outputs["projector"])
        chosen = base.target_stats(
            target_stats,
            stats["target"],
            target_moved,
            {name: online_stats[name] for name in online},
            decay=decay,
        )
        outputs = {
            "features": base.stack_views([o["encoder"] for o in seen]),
            "projections": base.stack_views([o["projector"] for o in seen]),
            "predictions": base.stack_views([o["predictor"] for o in seen]),
            "targets": jax.lax.stop_gradient(base.stack_views(targets)),
        }
        return outputs, {**online_stats, "target": chosen}

    def objective(outputs, memory, batch, key):
        del memory, batch, key
        predictions, targets = outputs["predictions"], outputs["targets"]
        first = losses.cosine_distance(predictions[:, 0], targets[:, 1])
        second = losses.cosine_distance(predictions[:, 1], targets[:, 0])
        return first + second, (), {}

    def remember(memory, params, kept, step):
        del kept
        moved = {name: params[name] for name in online}
        return ema.update(memory, moved, decay=decay_at(step))

    return base.Method(init, forward, objective, remember, coupled=False)


def _decay(decay: float, schedule: str, total_steps: int | None) -> Callable:
    if schedule == "constant":
        return lambda step: decay
    if schedule != "cosine" or total_steps is None:
        raise ValueError(
            f"decay_schedule {schedule!r} with total_steps {total_steps}: choose 'constant', or "
            "'cosine' and give total_steps."
        )
    return lambda step: ema.cosine_decay(decay, step, total_steps)
