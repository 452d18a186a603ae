"""Bootstrap Your Own Latent (Grill et al. 2020, arXiv 2006.07733).

The online network predicts, from one view, what a slowly moving target network says of the other.
"""

from collections.abc import Callable

import jax

from byol_jax import ema, errors, losses, networks
from byol_jax.methods import base


def byol(
    encoder: networks.Network,
    projector: networks.Network,
    predictor: networks.Network | None = None,
    *,
    decay: float = 0.996,
    decay_schedule: str = "cosine",
    total_steps: int | None = None,
    target_stats: str = "own",
    separate_target: bool = False,
    stop_gradient: bool = True,
    axis_name: str | None = None,
) -> base.Method:
    """BYOL with two views; its loss is between 0 and 8: two directions of 2 - 2 cos.

    predictor: None compares the projections themselves (the unsupervised Mean Teacher).
    decay: of the target; rises to 1 over total_steps where decay_schedule is "cosine", stays where
        it is "constant". At a constant 0 the target is the online network (SimSiam), at a constant
        1 it never moves.
    separate_target: draw the target's first parameters anew, as the published code does, instead
        of copying the online network's.
    stop_gradient: False sends the gradient through the targets too, which then are the online
        network's own projections; there is no moving average left, so the decay must be 0.

    Raises ValueError for another decay_schedule, for a cosine without total_steps, and for a decay
    above 0 without stop_gradient.
    """
    del axis_name  # the batch couples through batch norm alone
    target_nets = {"encoder": encoder, "projector": projector}
    online = target_nets if predictor is None else {**target_nets, "predictor": predictor}
    decay_at = _decay(decay, decay_schedule, total_steps)
    if decay and not stop_gradient:
        raise errors.UserError(
            f"decay {decay} without stop_gradient: a target that gradients reach is the online "
            "network itself; set decay to 0 and decay_schedule to 'constant'."
        )

    def init(key, views):
        online_key, predictor_key, target_key = jax.random.split(key, 3)
        target, target_stats, outputs = base.init_chain(online_key, target_nets, views[0])
        params, stats = dict(target), {**target_stats, "target": target_stats}
        if separate_target:
            target, _, _ = base.init_chain(target_key, target_nets, views[0])
        if predictor is not None:
            params["predictor"], stats["predictor"] = predictor.init(
                predictor_key, outputs["projector"]
            )
        return params, stats, target

    def forward(params, stats, memory, views, key):
        del key
        online_stats = {name: stats[name] for name in online}
        seen, online_stats = base.apply_views(online, params, online_stats, views)
        targets, target_moved = seen["projector"], stats["target"]
        if stop_gradient:
            aims, target_moved = base.apply_views(target_nets, memory, stats["target"], views)
            targets = jax.lax.stop_gradient(aims["projector"])
        chosen = base.target_stats(
            target_stats,
            stats["target"],
            target_moved,
            {name: online_stats[name] for name in target_nets},
            decay=decay,
        )
        outputs = {
            "features": seen["encoder"],
            "projections": seen["projector"],
            "predictions": seen[list(online)[-1]],
            "targets": targets,
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
        moved = {name: params[name] for name in target_nets}
        return ema.update(memory, moved, decay=decay_at(step))

    return base.Method(
        init, forward, objective, remember, coupled=False, schedules={"decay": decay_at}
    )


def _decay(decay: float, schedule: str, total_steps: int | None) -> Callable:
    if schedule == "constant":
        return lambda step: decay
    if schedule != "cosine" or total_steps is None:
        raise errors.UserError(
            f"decay_schedule {schedule!r} with total_steps {total_steps}: choose 'constant', or "
            "'cosine' and give total_steps."
        )
    return lambda step: ema.cosine_decay(decay, step, total_steps)
