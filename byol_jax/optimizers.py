"""Optimizers and schedules of the papers, composed from optax."""

from collections.abc import Callable, Mapping

import chex
import jax
import jax.numpy as jnp
import optax

from byol_jax import errors

ScalarOrSchedule = float | optax.Schedule
Mask = Callable[[chex.ArrayTree], chex.ArrayTree]


def everything(params: chex.ArrayTree) -> chex.ArrayTree:
    """The mask that is True at every leaf: MoCo and instance discrimination decay all."""
    return jax.tree.map(lambda _: True, params)


def kernels(params: chex.ArrayTree) -> chex.ArrayTree:
    """The mask that is False at biases and at the scales of normalization: SimCLR, BYOL."""

    def is_kernel(path, _):
        return jax.tree_util.keystr(path[-1:], simple=True) not in ("bias", "scale")

    return jax.tree_util.tree_map_with_path(is_kernel, params)


MASKS = {"everything": everything, "kernels": kernels}


def sgd(
    learning_rate: ScalarOrSchedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    mask: Mask = everything,
) -> optax.GradientTransformation:
    """Stochastic gradient descent; the decay is added to the gradient, as in PyTorch."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask),
        optax.trace(momentum, nesterov),
        optax.scale_by_learning_rate(learning_rate),
    )


def lars(
    learning_rate: ScalarOrSchedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    trust_coefficient: float = 0.001,
    nesterov: bool = False,
    lr_in_momentum: bool = False,
    mask: Mask = kernels,
) -> optax.GradientTransformation:
    """Layer-wise adaptive rates (You et al. 2017), in the two orders that the field uses.

    mask: params -> pytree of bool, True where a leaf is decayed and adapted.
    lr_in_momentum: True accumulates steps already scaled by the learning rate (SimCLR's code);
        False scales the accumulated ones (BYOL, MoCo v3). They part when the rate changes.
    """
    rate = optax.scale_by_learning_rate(learning_rate)
    trace = optax.trace(momentum, nesterov)
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask),
        optax.masked(optax.scale_by_trust_ratio(trust_coefficient=trust_coefficient), mask),
        *((rate, trace) if lr_in_momentum else (trace, rate)),
    )


def adamw(
    learning_rate: ScalarOrSchedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    mask: Mask = kernels,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    return optax.adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=mask)


def scale_parts(factors: Mapping[str, float]) -> optax.GradientTransformation:
    """Multiplies the updates of some networks: {"predictor": 10.0} moves it ten times faster.

    Put it last in a chain; the factor then is one of the learning rate (Grill et al. 2020,
    appendix I). Raises ValueError for a name that params does not have.
    """

    def scale(updates, params=None):
        del params
        unknown = sorted(set(factors) - set(updates))
        if unknown:
            raise errors.UserError(
                f"multipliers names {unknown[0]!r}, which is not among the networks trained: "
                f"{', '.join(updates)}."
            )
        return {
            name: jax.tree.map(lambda u, name=name: u * factors.get(name, 1.0), tree)
            for name, tree in updates.items()
        }

    return optax.stateless(scale)


OPTIMIZERS = {"sgd": sgd, "lars": lars, "adamw": adamw}


def constant(peak: float, total_steps: int, steps_per_epoch: int) -> optax.Schedule:
    """The same rate at every step."""
    del total_steps, steps_per_epoch
    return optax.constant_schedule(peak)


def cosine(
    peak: float,
    total_steps: int,
    steps_per_epoch: int,
    *,
    warmup_epochs: float = 0,
    final: float = 0.0,
    per_epoch: bool = False,
) -> optax.Schedule:
    """A linear warm-up from 0, then half a cosine from `peak` to `final`.

    per_epoch: change once an epoch only, as MoCo v2's code does.
    """
    warmup = min(round(warmup_epochs * steps_per_epoch), total_steps - 1)

    def schedule(step):
        step = (step // steps_per_epoch * steps_per_epoch) if per_epoch else step
        step = jnp.asarray(step, jnp.float32)
        progress = jnp.clip((step - warmup) / (total_steps - warmup), 0.0, 1.0)
        value = final + (peak - final) * (1.0 + jnp.cos(jnp.pi * progress)) / 2.0
        return jnp.where(step < warmup, peak * step / max(warmup, 1), value)

    return schedule


def steps(
    peak: float,
    total_steps: int,
    steps_per_epoch: int,
    *,
    epochs: tuple[int, ...],
    factor: float = 0.1,
) -> optax.Schedule:
    """`peak`, multiplied by `factor` at the start of each of `epochs`."""
    del total_steps
    pieces = {epoch * steps_per_epoch: factor for epoch in epochs}
    schedule = optax.piecewise_constant_schedule(peak, pieces)
    return lambda step: schedule(jnp.asarray(step, jnp.float32))  # it mixes floats with the step


SCHEDULES = {"constant": constant, "cosine": cosine, "steps": steps}
