"""Optimizers and learning-rate schedules of papers on self-supervision, composed from optax."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from byol_jax import errors, pickling

ScalarOrSchedule = float | optax.Schedule
Mask = Callable[[Any], Any]


def everything(params: Any) -> Any:
    """Returns a weight-decay mask that selects all parameters, as in MoCo and InstDisc.

    Args:
        params: Pytree of parameters.

    Returns:
        Pytree of the same structure with True at every leaf.
    """
    return jax.tree.map(lambda _: True, params)


def kernels(params: Any) -> Any:
    """Returns a weight-decay mask that excludes biases and normalization scales (SimCLR, BYOL).

    The mask works for the parameters of any library: a bias or a scale has at most one axis. The
    names matter only for parameters that are stacked along a further axis.

    Args:
        params: Pytree of parameters.

    Returns:
        Pytree of the same structure: False at leaves with less than two axes and at leaves that are
        named as a bias or scale, True elsewhere.
    """

    def is_kernel(path, leaf):
        names = [jax.tree_util.keystr((key,), simple=True) for key in path]
        names = [name for name in names if name != "value"]  # flax.nnx adds it to every path
        return jnp.ndim(leaf) > 1 and not (names and names[-1] in _NOT_KERNELS)

    return jax.tree_util.tree_map_with_path(is_kernel, params)


# Names in flax, Equinox and Keras, and in Haiku.
_NOT_KERNELS = {"bias", "scale", "gamma", "beta", "b", "offset"}

MASKS = {"everything": everything, "kernels": kernels}


def _checked(mask: Mask) -> Mask:
    if isinstance(mask, str):
        names = ", ".join(MASKS)
        raise errors.UserError(
            f"mask must be a function, not the string {mask!r}; pass optimizers.MASKS[name], where "
            f"the names are {names}."
        )
    return mask


@pickling.picklable
def sgd(
    learning_rate: ScalarOrSchedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    mask: Mask = everything,
) -> optax.GradientTransformation:
    """Builds stochastic gradient descent with momentum.

    As in PyTorch, weight decay is added to the gradient before the momentum.

    Args:
        learning_rate: A number, or a schedule from the step to a number.
        momentum: Decay of the accumulated gradients, in [0, 1).
        weight_decay: Coefficient of weight decay: weight_decay * params is added to the gradient.
        nesterov: True uses Nesterov momentum.
        mask: Function from params to a pytree of bool; weight decay applies where it is True.

    Returns:
        The optimizer.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay, _checked(mask)),
        optax.trace(momentum, nesterov),
        optax.scale_by_learning_rate(learning_rate),
    )


@pickling.picklable
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
    """Builds LARS, SGD with layer-wise adaptive rates (You et al. 2017).

    Args:
        learning_rate: A number, or a schedule from the step to a number.
        momentum: Decay of the accumulated gradients, in [0, 1).
        weight_decay: Coefficient of weight decay: weight_decay * params is added to the gradient
            before the trust ratio is computed.
        trust_coefficient: Factor of the trust ratio, norm(params) / norm(gradient).
        nesterov: True uses Nesterov momentum.
        lr_in_momentum: True accumulates gradients times the learning rate (SimCLR's code). False
            multiplies the accumulated gradients by the learning rate (BYOL, MoCo v3). The two
            differ if the learning rate changes.
        mask: Function from params to a pytree of bool; weight decay and the trust ratio apply where
            it is True.

    Returns:
        The optimizer.
    """
    rate = optax.scale_by_learning_rate(learning_rate)
    trace = optax.trace(momentum, nesterov)
    return optax.chain(
        optax.add_decayed_weights(weight_decay, _checked(mask)),
        optax.masked(
            optax.scale_by_trust_ratio(trust_coefficient=trust_coefficient), _checked(mask)
        ),
        *((rate, trace) if lr_in_momentum else (trace, rate)),
    )


@pickling.picklable
def adamw(
    learning_rate: ScalarOrSchedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    mask: Mask = kernels,
) -> optax.GradientTransformation:
    """Builds Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    Args:
        learning_rate: A number, or a schedule from the step to a number.
        b1: Decay of the gradient's average, in [0, 1).
        b2: Decay of the squared gradient's average, in [0, 1).
        eps: Addend in the denominator of the update.
        weight_decay: Coefficient of weight decay: a step subtracts learning_rate * weight_decay *
            params.
        mask: Function from params to a pytree of bool; weight decay applies where it is True.

    Returns:
        The optimizer.
    """
    return optax.adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=_checked(mask))


@pickling.picklable
def scale_parts(factors: Mapping[str, float]) -> optax.GradientTransformation:
    """Builds an optax transformation that scales each network's updates by its own factor.

    {"predictor": 10.0} multiplies the predictor's updates by 10. At the end of a chain, a factor
    multiplies the learning rate (Grill et al. 2020, appendix I).

    Args:
        factors: Factors by name of the network, a key of params; other networks have a factor of 1.

    Returns:
        The transformation. Its update raises UserError if params has no network of such a name.
    """

    def scale(updates, params=None):
        del params
        unknown = sorted(set(factors) - set(updates))
        if unknown:
            name = unknown[0]
            networks = ", ".join(updates)
            raise errors.UserError(
                f"unknown network {name!r} in multipliers; the trained networks are {networks}."
            )
        return {
            name: jax.tree.map(lambda u, name=name: u * factors.get(name, 1.0), tree)
            for name, tree in updates.items()
        }

    return optax.stateless(scale)


OPTIMIZERS = {"sgd": sgd, "lars": lars, "adamw": adamw}


@pickling.picklable
def constant(peak: float, total_steps: int, steps_per_epoch: int) -> optax.Schedule:
    """Builds a schedule with the same learning rate at every step.

    Args:
        peak: The learning rate.
        total_steps: Not used.
        steps_per_epoch: Not used.

    Returns:
        The schedule, a function from the step to the learning rate.
    """
    del total_steps, steps_per_epoch
    return optax.constant_schedule(peak)


@pickling.picklable
def cosine(
    peak: float,
    total_steps: int,
    steps_per_epoch: int,
    *,
    warmup_epochs: float = 0,
    final: float = 0.0,
    per_epoch: bool = False,
) -> optax.Schedule:
    """Builds a schedule with a linear warm-up from 0, then half a cosine from `peak` to `final`.

    Args:
        peak: Learning rate after the warm-up.
        total_steps: Step at which the learning rate reaches `final`.
        steps_per_epoch: Number of steps in an epoch.
        warmup_epochs: Length of the warm-up in epochs.
        final: Learning rate from `total_steps` on.
        per_epoch: True changes the learning rate only at the start of an epoch, as MoCo v2's code
            does.

    Returns:
        The schedule, a function from the step to the learning rate.
    """
    warmup = min(round(warmup_epochs * steps_per_epoch), total_steps - 1)

    def schedule(step):
        step = (step // steps_per_epoch * steps_per_epoch) if per_epoch else step
        step = jnp.asarray(step, jnp.float32)
        progress = jnp.clip((step - warmup) / (total_steps - warmup), 0.0, 1.0)
        value = final + (peak - final) * (1.0 + jnp.cos(jnp.pi * progress)) / 2.0
        return jnp.where(step < warmup, peak * step / max(warmup, 1), value)

    return schedule


@pickling.picklable
def steps(
    peak: float,
    total_steps: int,
    steps_per_epoch: int,
    *,
    epochs: tuple[int, ...],
    factor: float = 0.1,
) -> optax.Schedule:
    """Builds a schedule that multiplies the learning rate by a factor at each of the given epochs.

    Args:
        peak: Initial learning rate.
        total_steps: Not used.
        steps_per_epoch: Number of steps in an epoch.
        epochs: Epochs at whose start the learning rate changes, counted from 0.
        factor: Factor of each change.

    Returns:
        The schedule, a function from the step to the learning rate.
    """
    del total_steps
    pieces = {epoch * steps_per_epoch: factor for epoch in epochs}
    schedule = optax.piecewise_constant_schedule(peak, pieces)
    # optax mixes the step with floats, which strict type promotion allows for a float step only.
    return lambda step: schedule(jnp.asarray(step, jnp.float32))


SCHEDULES = {"constant": constant, "cosine": cosine, "steps": steps}
