"""A linear classifier that learns along, on features through which it sends no gradient back."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from byol_jax import metrics


class Probe(NamedTuple):
    """What to learn with: the number of classes, and an optimizer of the probe's own."""

    num_classes: int
    optimizer: optax.GradientTransformation


class ProbeState(NamedTuple):
    """params: {"kernel": [F, classes], "bias": [classes]}, zero at first; and the optimizer's."""

    params: chex.ArrayTree
    opt_state: optax.OptState


def create(probe: Probe, num_features: int) -> ProbeState:
    """The state before the first step, for features [B, num_features]."""
    shape = (num_features, probe.num_classes)
    params = {"kernel": jnp.zeros(shape), "bias": jnp.zeros(shape[1:])}
    return ProbeState(params, probe.optimizer.init(params))


def gradients(params: chex.ArrayTree, features: jax.Array, labels: jax.Array):
    """The gradient of the mean cross-entropy, and the metrics `probe_loss`, `probe_accuracy`.

    features are [B, F], labels int [B]; accuracy is that on the training views, a fraction.
    """

    def mean_loss(params):
        scores = features @ params["kernel"] + params["bias"][None, :]
        each = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
        return jnp.mean(each), scores

    (loss, scores), grads = jax.value_and_grad(mean_loss, has_aux=True)(params)
    accuracy = jnp.mean(metrics.accuracy(scores, labels))
    return grads, {"probe_loss": loss, "probe_accuracy": accuracy}


def advance(probe: Probe, state: ProbeState, grads: chex.ArrayTree) -> ProbeState:
    """One step of the probe's optimizer."""
    updates, opt_state = probe.optimizer.update(grads, state.opt_state, state.params)
    return ProbeState(optax.apply_updates(state.params, updates), opt_state)
