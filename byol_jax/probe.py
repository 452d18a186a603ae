"""The online probe: a linear classifier that learns during pretraining.

The probe reads the encoder's features. No gradient flows from the probe into the encoder.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from byol_jax import metrics


class Probe(NamedTuple):
    """The settings of an online probe.

    Attributes:
        num_classes: Number of classes.
        optimizer: Optimizer of the probe's parameters.
    """

    num_classes: int
    optimizer: optax.GradientTransformation


class ProbeState(NamedTuple):
    """The parameters and the optimizer state of an online probe.

    Attributes:
        params: `kernel` [F, num_classes] and `bias` [num_classes], initially zero.
        opt_state: State of the probe's optimizer.
    """

    params: dict[str, jax.Array]
    opt_state: Any


def create(probe: Probe, num_features: int) -> ProbeState:
    """Creates the state of an online probe before the first step.

    Args:
        probe: The probe's settings.
        num_features: Number F of the encoder's features.

    Returns:
        The state.
    """
    params = {
        "kernel": jnp.zeros((num_features, probe.num_classes)),
        "bias": jnp.zeros((probe.num_classes,)),
    }
    return ProbeState(params, probe.optimizer.init(params))


def gradients(
    params: dict[str, jax.Array], features: jax.Array, labels: jax.Array
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """Computes the gradient of the mean cross-entropy of an online probe.

    Args:
        params: Parameters of the probe.
        features: The encoder's features of augmented training images, [B, F].
        labels: Labels, int [B].

    Returns:
        The gradient, and the metrics `probe_loss` and `probe_accuracy`, a fraction of this batch.
    """

    def mean_loss(params):
        scores = features @ params["kernel"] + params["bias"][None, :]
        losses = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
        return jnp.mean(losses), scores

    (loss, scores), grads = jax.value_and_grad(mean_loss, has_aux=True)(params)
    accuracy = jnp.mean(metrics.accuracy(scores, labels))
    return grads, {"probe_loss": loss, "probe_accuracy": accuracy}


def advance(probe: Probe, state: ProbeState, grads: dict[str, jax.Array]) -> ProbeState:
    """Performs one optimizer step of an online probe.

    Args:
        probe: The probe's settings.
        state: The current state.
        grads: Gradient of the parameters, averaged over the devices.

    Returns:
        The next state.
    """
    updates, opt_state = probe.optimizer.update(grads, state.opt_state, state.params)
    return ProbeState(optax.apply_updates(state.params, updates), opt_state)
