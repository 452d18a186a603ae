"""Gradient accumulation: the exact gradient of a batch, computed one microbatch at a time."""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from byol_jax import collectives, errors


class Forward(Protocol):
    """A function that runs the networks on one microbatch."""

    def __call__(
        self, params: dict[str, Any], part: dict[str, Any], number: jax.Array | int
    ) -> tuple[dict[str, jax.Array], dict[str, Any]]:
        """Computes the outputs of the networks for a microbatch.

        Args:
            params: Parameters of the networks.
            part: The microbatch; leaves [M, ...], where M is its number of examples.
            number: Position of the microbatch in the batch, counted from 0.

        Returns:
            The outputs by name, leaves [M, ...], and the updated batch-norm statistics.
        """
        ...


class Objective(Protocol):
    """A function that computes the losses from the outputs of the networks."""

    def __call__(
        self, params: dict[str, Any], outputs: dict[str, jax.Array], part: dict[str, Any]
    ) -> tuple[jax.Array, Any, dict[str, jax.Array]]:
        """Computes one loss per example.

        Args:
            params: Parameters; the losses may depend on them directly.
            outputs: The outputs of `Forward` for these examples.
            part: The examples: the whole batch of this device if the losses are coupled, else one
                microbatch; leaves [M, ...].

        Returns:
            The losses [M]; what the method's memory update needs, a pytree with leaves [M, ...];
            and metrics, scalars.
        """
        ...


class Result(NamedTuple):
    """The gradient of one device's batch, with the losses, outputs, statistics and metrics.

    Attributes:
        grads: Gradient of the mean loss, with the structure of the parameters.
        losses: Losses [B].
        outputs: Outputs of the networks by name, leaves [B, ...].
        stats: Updated batch-norm statistics, averaged over the microbatches.
        memory_inputs: What the method's memory update needs, a pytree with leaves [B, ...].
        metrics: Scalars by name, averaged over the microbatches unless the losses are coupled.
    """

    grads: dict[str, Any]
    losses: jax.Array
    outputs: dict[str, jax.Array]
    stats: dict[str, Any]
    memory_inputs: Any
    metrics: dict[str, jax.Array]


class _Microbatches(NamedTuple):
    """The microbatches of a batch, stacked along a new first axis, and their indices."""

    part: dict[str, Any]
    number: jax.Array


def gradients(
    forward: Forward,
    objective: Objective,
    params: dict[str, Any],
    batch: dict[str, Any],
    *,
    microbatches: int,
    coupled: bool,
) -> Result:
    """Computes the gradient of one device's mean loss, one microbatch at a time.

    Only one microbatch at a time passes through the networks, which limits the memory of the
    activations. The gradient is that of the whole batch, except that batch norm normalizes each
    microbatch on its own.

    If the losses are coupled, such as SimCLR's, the networks run twice: first for the outputs of
    all microbatches, from which the objective computes all losses at once, then for the gradient.

    Args:
        forward: Runs the networks on one microbatch.
        objective: Computes the losses from the outputs.
        params: Parameters of the networks.
        batch: Arrays by name, leaves [B, ...], with the examples' positions as `row`.
        microbatches: Number of microbatches; it must divide B.
        coupled: True if a loss depends on other examples of the batch.

    Returns:
        The gradient, and the losses, outputs, statistics and metrics.

    Raises:
        UserError: If the batch does not divide into the microbatches.
    """
    num_examples = len(batch["row"])
    if num_examples % microbatches:
        raise errors.UserError(
            f"{num_examples} examples on a device cannot be split evenly into {microbatches} "
            f"microbatches; choose a batch_size that is a multiple of devices * {microbatches}."
        )
    if microbatches == 1:
        return _one_batch(forward, objective, params, batch, 0)
    parts = _Microbatches(
        jax.tree.map(lambda x: x.reshape(microbatches, -1, *x.shape[1:]), batch),
        jnp.arange(microbatches, dtype=jnp.int32),
    )
    if coupled:
        return _two_passes(forward, objective, params, batch, parts)
    return _one_pass(forward, objective, params, parts)


def _one_batch(forward, objective, params, part, number) -> Result:
    """Differentiates the mean loss of a batch or a microbatch in a single pass."""

    def mean_loss(params):
        outputs, stats = forward(params, part, number)
        losses, memory_inputs, metrics = objective(params, outputs, part)
        return jnp.mean(losses), Result({}, losses, outputs, stats, memory_inputs, metrics)

    grads, result = jax.grad(mean_loss, has_aux=True)(params)
    return result._replace(grads=grads)


def _one_pass(forward, objective, params, parts: _Microbatches) -> Result:
    """Averages the microbatches' gradients; exact if each loss depends on one microbatch only."""

    def accumulate(total, microbatch):
        result = _one_batch(forward, objective, params, microbatch.part, microbatch.number)
        # Sum the gradients in the carry, instead of stacking one for each microbatch.
        return _add(total, result.grads), result._replace(grads={})

    total, stacked = jax.lax.scan(accumulate, _zeros(params), parts)
    return Result(
        jax.tree.map(lambda g: g / len(parts.number), total),
        _merge(stacked.losses),
        _merge(stacked.outputs),
        _merge_stats(stacked.stats),
        _merge(stacked.memory_inputs),
        _mean(stacked.metrics),
    )


def _two_passes(forward, objective, params, batch, parts: _Microbatches) -> Result:
    """Differentiates losses that depend on all microbatches, in two passes through the networks."""

    # First pass: compute all outputs, and keep no activations.
    def run(_, microbatch):
        return None, forward(params, microbatch.part, microbatch.number)

    _, (outputs, stats) = jax.lax.scan(run, None, parts)

    def mean_loss(params, outputs):
        losses, memory_inputs, metrics = objective(params, _merge(outputs), batch)
        return jnp.mean(losses), (losses, memory_inputs, metrics)

    # The losses compare the outputs of all microbatches: differentiate with respect to the outputs.
    differentiate = jax.grad(mean_loss, argnums=(0, 1), has_aux=True)
    (direct, cotangents), (losses, memory_inputs, metrics) = differentiate(params, outputs)

    # Second pass: continue from the outputs to the parameters, one microbatch at a time.
    def pull_back(total, microbatch_and_cotangent):
        microbatch, cotangent = microbatch_and_cotangent

        def run_again(params):
            outputs, _ = forward(params, microbatch.part, microbatch.number)
            return outputs

        _, pull = jax.vjp(run_again, params)
        (grads,) = pull(cotangent)
        return _add(total, grads), None

    # The sum starts with the gradient of the parameters that the losses use directly.
    grads, _ = jax.lax.scan(pull_back, direct, (parts, cotangents))
    return Result(grads, losses, _merge(outputs), _merge_stats(stats), memory_inputs, metrics)


def _zeros(tree):
    # One by one: shard_map requires that a sum starts as varying as the gradient of each leaf.
    return jax.tree.map(lambda x: collectives.vary_alike((jnp.zeros_like(x), x))[0], tree)


def _add(a, b):
    return jax.tree.map(jnp.add, a, b)


def _merge(tree):
    """Merges the first two axes of each leaf: [microbatches, M, ...] to [B, ...]."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def _mean(tree):
    """Averages each leaf over its first axis, the microbatches."""
    return jax.tree.map(lambda x: jnp.mean(x, axis=0), tree)


def _merge_stats(stats):
    """Averages statistics over the microbatches; an integer, such as a count, is the largest."""

    def merge(x):
        reduce = jnp.mean if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.max
        return reduce(x, axis=0)

    return jax.tree.map(merge, stats)
