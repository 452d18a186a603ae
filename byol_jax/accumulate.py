"""The exact gradient of a batch, of which only a part goes through the networks at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from byol_jax import errors


class Result(NamedTuple):
    """What one pass over a device's batch gives; losses and outputs have leaves [B, ...]."""

    grads: chex.ArrayTree
    losses: jax.Array
    outputs: chex.ArrayTree
    stats: chex.ArrayTree
    kept: Any
    metrics: dict[str, jax.Array]


def gradients(
    forward: Callable,
    objective: Callable,
    params: chex.ArrayTree,
    batch: dict[str, jax.Array],
    *,
    microbatches: int,
    coupled: bool,
) -> Result:
    """The gradient of the mean loss over this device's batch, with whatever else the pass gives.

    forward(params, part, m) -> (outputs, stats) runs the networks on microbatch m;
    objective(outputs, part) -> (losses, kept, metrics). Statistics are averaged over microbatches.
    A coupled objective is taken once, at the outputs of all microbatches, which therefore run
    twice: for the outputs, then for the gradient.

    Raises ValueError when the batch does not divide into the microbatches.
    """
    size = len(batch["row"])
    if size % microbatches:
        raise errors.UserError(
            f"{size} examples on a device do not divide into {microbatches} microbatches; choose a "
            f"batch_size that is a multiple of devices * {microbatches}."
        )
    if microbatches == 1:
        return _whole(forward, objective, params, batch, 0)
    parts = jax.tree.map(lambda x: x.reshape(microbatches, -1, *x.shape[1:]), batch)
    numbers = jnp.arange(microbatches, dtype=jnp.int32)
    passes = _two_passes if coupled else _one_pass
    return passes(forward, objective, params, batch, parts, numbers)


def _whole(forward, objective, params, batch, number) -> Result:
    def mean_loss(params):
        outputs, stats = forward(params, batch, number)
        losses, kept, metrics = objective(outputs, batch)
        return jnp.mean(losses), (losses, outputs, stats, kept, metrics)

    grads, rest = jax.grad(mean_loss, has_aux=True)(params)
    return Result(grads, *rest)


def _one_pass(forward, objective, params, batch, parts, numbers) -> Result:
    del batch

    def body(total, part_and_number):
        result = _whole(forward, objective, params, *part_and_number)
        return _add(total, result.grads), result._replace(grads=())

    total, each = jax.lax.scan(body, _zeros(params), (parts, numbers))
    grads = jax.tree.map(lambda g: g / len(numbers), total)
    return Result(
        grads,
        _merge(each.losses),
        _merge(each.outputs),
        _mean(each.stats),
        _merge(each.kept),
        _mean(each.metrics),
    )


def _two_passes(forward, objective, params, batch, parts, numbers) -> Result:
    def look(_, part_and_number):
        return None, forward(params, *part_and_number)

    _, (outputs, stats) = jax.lax.scan(look, None, (parts, numbers))

    def mean_loss(outputs):
        losses, kept, metrics = objective(_merge(outputs), batch)
        return jnp.mean(losses), (losses, kept, metrics)

    cotangents, (losses, kept, metrics) = jax.grad(mean_loss, has_aux=True)(outputs)

    def pull(total, each):
        part, number, cotangent = each
        _, back = jax.vjp(lambda params: forward(params, part, number)[0], params)
        return _add(total, back(cotangent)[0]), None

    grads, _ = jax.lax.scan(pull, _zeros(params), (parts, numbers, cotangents))
    return Result(grads, losses, _merge(outputs), _mean(stats), kept, metrics)


def _zeros(tree):
    return jax.tree.map(jnp.zeros_like, tree)


def _add(a, b):
    return jax.tree.map(jnp.add, a, b)


def _merge(tree):
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def _mean(tree):
    return jax.tree.map(lambda x: jnp.mean(x, axis=0), tree)
