"""Bootstrap Your Own Latent (Grill et al. 2020, arXiv 2006.07733).

The online network predicts, from one view, the projection of the other view by a target network.
The target is a moving average of the online network.
"""

import jax

from byol_jax import collectives, ema, errors, losses, networks, pickling
from byol_jax.methods import base


@pickling.picklable
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
    axis_name: collectives.AxisName = None,
) -> base.Method:
    """Creates BYOL, which predicts a target network's projection of the other view.

    The loss is the sum of losses.normalized_squared_error in both directions, between 0 and 8.

    Args:
        encoder: Backbone, images to features [B, F].
        projector: Head, features to projections [B, D].
        predictor: Head, projections to predictions [B, D]; None compares the projections with the
            targets (unsupervised Mean Teacher).
        decay: Decay of the target, in [0, 1]. A constant 0 makes the online network its own target
            (SimSiam); a constant 1 never moves the target.
        decay_schedule: "cosine" raises the decay to 1 over total_steps; "constant" does not change
            it.
        total_steps: Number of steps of the run, for the cosine.
        target_stats: Batch-norm statistics of the target; see base.target_stats.
        separate_target: True draws separate initial parameters for the target, as the published
            code does. False copies those of the online network.
        stop_gradient: False lets the gradient flow through the targets, which are then projections
            of the online network. There is no moving average, so the decay must be 0.
        axis_name: Name of the mapped device axis; examples interact only through batch norm.

    Returns:
        The method.

    Raises:
        UserError: The decay_schedule is unknown, a cosine has no total_steps, or the decay is above
            0 without stop_gradient.
    """
    target_nets = {"encoder": encoder, "projector": projector}
    online = target_nets if predictor is None else {**target_nets, "predictor": predictor}
    decay_at = _decay(decay, decay_schedule, total_steps)
    if decay and not stop_gradient:
        raise errors.UserError(
            f"decay {decay} without stop_gradient has no effect, because the online network is its "
            "own target; set decay to 0 and decay_schedule to 'constant'."
        )

    def init(key, views):
        base.check_views(views, 2)
        online_key, predictor_key, target_key = jax.random.split(key, 3)
        target, target_stats, outputs = base.init_chain(online_key, target_nets, views[0])
        params = dict(target)
        stats = {**target_stats, "target": target_stats}
        if separate_target:
            target, _, _ = base.init_chain(target_key, target_nets, views[0])
        if predictor is not None:
            params["predictor"], stats["predictor"] = predictor.init(
                predictor_key, outputs["projector"]
            )
        return params, stats, target

    def forward(params, stats, memory, views, key):
        del key
        base.check_views(views, 2)
        online_stats = {name: stats[name] for name in online}
        x, online_stats = base.apply_views(online, params, online_stats, views)
        targets = x["projector"]
        own_stats = stats["target"]
        if stop_gradient:
            target_x, own_stats = base.apply_views(target_nets, memory, stats["target"], views)
            targets = jax.lax.stop_gradient(target_x["projector"])
        next_target_stats = base.target_stats(
            target_stats,
            stats["target"],
            own_stats,
            {name: online_stats[name] for name in target_nets},
            decay=decay,
        )
        outputs = {
            "features": x["encoder"],
            "projections": x["projector"],
            "predictions": x[list(online)[-1]],
            "targets": targets,
        }
        return outputs, {**online_stats, "target": next_target_stats}

    def objective(params, outputs, memory, batch, key, step):
        del params, memory, batch, key, step
        predictions = outputs["predictions"]
        targets = outputs["targets"]
        first = losses.normalized_squared_error(predictions[:, 0], targets[:, 1])
        second = losses.normalized_squared_error(predictions[:, 1], targets[:, 0])
        return first + second, (), {}

    def update_memory(memory, params, memory_inputs, step):
        del memory_inputs
        online_params = {name: params[name] for name in target_nets}
        return ema.update(memory, online_params, decay=decay_at(step))

    return base.Method(
        init,
        forward,
        objective,
        update_memory,
        coupled=False,
        schedules={"decay": decay_at},
        axis_name=axis_name,
    )


def _decay(decay: float, schedule: str, total_steps: int | None) -> base.Schedule:
    if schedule == "constant":
        return lambda step: decay
    if schedule != "cosine" or total_steps is None:
        raise errors.UserError(
            f"decay_schedule {schedule!r} with total_steps {total_steps} is not valid; choose "
            "'constant', or 'cosine' with total_steps."
        )
    return lambda step: ema.cosine_decay(decay, step, total_steps)
