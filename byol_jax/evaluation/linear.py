"""The linear protocol: a softmax classifier on frozen features, trained by SGD."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from byol_jax import errors, metrics, optimizers
from byol_jax.evaluation import features, table
from byol_jax.evaluation.table import Row


def linear(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    *,
    num_classes: int,
    learning_rates: Sequence[float] = (0.3, 1.0, 3.0, 10.0, 30.0),
    weight_decays: Sequence[float] = (0.0, 1e-6, 1e-5, 1e-4),
    epochs: int = 50,
    batch_size: int = 256,
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> Row:
    """Trains a linear softmax classifier on frozen features and measures its accuracy.

    All pairs of a learning rate and a weight decay are tried on a random part of the training
    split. The pair with the best accuracy on the held-out part (the first one in a tie) is trained
    on the whole training split. The test split plays no part in this choice. Features are
    standardized as in `features.standardize`. Protocol: Zhang et al. 2016.

    Args:
        train_features: Training features [N, F].
        train_labels: Training labels, int [N] in [0, num_classes).
        test_features: Test features [M, F].
        test_labels: Test labels, int [M] in [0, num_classes).
        num_classes: Number of classes.
        learning_rates: Learning rates to try, positive.
        weight_decays: Weight decays to try, at least 0.
        epochs: Passes over the training features.
        batch_size: Examples per step.
        validation_fraction: Fraction of the training split that is held out to choose the pair.
        seed: Seed of the held-out part and of the order of the examples.

    Returns:
        The accuracy on the test features.

    Raises:
        UserError: If labels are missing or do not fit the features, or an option is out of range.
    """
    features.check(train_features, train_labels, num_classes, "training")
    features.check(test_features, test_labels, num_classes, "test")
    _check_options(learning_rates, weight_decays, epochs, batch_size)
    train, test = features.standardize(np.asarray(train_features), np.asarray(test_features))
    probe, settings = _search(
        jnp.asarray(train),
        jnp.asarray(train_labels, jnp.int32),
        num_classes=num_classes,
        learning_rates=learning_rates,
        weight_decays=weight_decays,
        epochs=epochs,
        batch_size=batch_size,
        validation_fraction=validation_fraction,
        seed=seed,
    )
    predictions = np.argmax(_logits(probe, jnp.asarray(test)), axis=-1)
    settings["num_test"] = len(test)
    return table.make_row(
        "linear", settings, labels=test_labels, predictions=predictions, num_classes=num_classes
    )


class Probe(NamedTuple):
    """A linear classifier, or G of them stacked along a leading axis.

    Attributes:
        weights: Array [F, classes].
        bias: Array [classes].
    """

    weights: jax.Array
    bias: jax.Array


def _search(
    inputs: jax.Array,
    labels: jax.Array,
    *,
    num_classes: int,
    learning_rates: Sequence[float],
    weight_decays: Sequence[float],
    epochs: int,
    batch_size: int,
    validation_fraction: float,
    seed: int,
) -> tuple[Probe, dict[str, Any]]:
    """Finds the best learning rate and weight decay; returns the classifier and its settings."""
    grid = list(itertools.product(learning_rates, weight_decays))
    rng = np.random.default_rng(seed)
    fitted, held_out = features.split(rng, len(inputs), validation_fraction)

    def train_on(rows, settings):
        rates, decays = jnp.asarray(settings, jnp.float32).T
        order = jnp.asarray(features.order(rng, rows, epochs, batch_size))
        return fit(inputs, labels, order, rates, decays, num_classes=num_classes)

    validation = _accuracies(train_on(fitted, grid), inputs[held_out], labels[held_out])
    best = int(np.argmax(validation))
    learning_rate, weight_decay = grid[best]
    probes = train_on(np.arange(len(inputs)), [(learning_rate, weight_decay)])
    settings = {
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "validation_accuracy": float(validation[best]),
        "learning_rates": tuple(learning_rates),
        "weight_decays": tuple(weight_decays),
        "epochs": epochs,
        "batch_size": batch_size,
        "validation_fraction": validation_fraction,
        "seed": seed,
        "num_train": len(inputs),
        "num_validation": len(held_out),
    }
    return jax.tree.map(lambda x: x[0], probes), settings


@functools.partial(jax.jit, static_argnames="num_classes")
def fit(
    inputs: jax.Array,
    labels: jax.Array,
    order: jax.Array,
    learning_rates: jax.Array,
    weight_decays: jax.Array,
    *,
    num_classes: int,
) -> Probe:
    """Trains G linear classifiers at once, one per pair of learning rate and weight decay.

    Training starts from zero and uses SGD with Nesterov momentum 0.9 and a cosine decay of the
    learning rate to 0. Weight decay does not apply to the bias. The classifiers are independent.

    Args:
        inputs: Features, float32 [N, F].
        labels: Labels, int32 [N].
        order: Numbers of the examples of each step, int32 [steps, batch]; all settings share it.
        learning_rates: Learning rate of each setting, float32 [G].
        weight_decays: Weight decay of each setting, float32 [G].
        num_classes: Number of classes.

    Returns:
        The classifiers, a `Probe` with leaves [G, ...].
    """
    zeros = Probe(jnp.zeros((inputs.shape[1], num_classes)), jnp.zeros(num_classes))

    def fit_one(learning_rate, weight_decay):
        schedule = optimizers.cosine(learning_rate, len(order), steps_per_epoch=1)
        optimizer = optimizers.sgd(
            schedule, weight_decay=weight_decay, nesterov=True, mask=optimizers.kernels
        )

        def step(carry, index):
            probe, opt_state = carry
            grads = jax.grad(_loss)(probe, inputs[index], labels[index])
            updates, opt_state = optimizer.update(grads, opt_state, probe)
            return (optax.apply_updates(probe, updates), opt_state), None

        (probe, _), _ = jax.lax.scan(step, (zeros, optimizer.init(zeros)), order)
        return probe

    return jax.vmap(fit_one)(learning_rates, weight_decays)


def _loss(probe, inputs, labels):
    losses = optax.softmax_cross_entropy_with_integer_labels(_logits(probe, inputs), labels)
    return jnp.mean(losses)


def _logits(probe, inputs):
    return inputs @ probe.weights + probe.bias[None, :]


@jax.jit
def _accuracies(probes, inputs, labels):
    # One probe at a time, because scores [G, N, classes] might not fit in memory.
    def accuracy(probe):
        return jnp.mean(metrics.accuracy(_logits(probe, inputs), labels))

    return jax.lax.map(accuracy, probes)


def _check_options(learning_rates, weight_decays, epochs, batch_size):
    if len(learning_rates) == 0 or min(learning_rates) <= 0:
        rates = tuple(learning_rates)
        raise errors.UserError(f"learning_rates must be one or more positive numbers, not {rates}.")
    if len(weight_decays) == 0 or min(weight_decays) < 0:
        decays = tuple(weight_decays)
        raise errors.UserError(
            f"weight_decays must be one or more non-negative numbers, not {decays}."
        )
    if epochs < 1 or batch_size < 1:
        raise errors.UserError(
            f"epochs ({epochs}) and batch_size ({batch_size}) must be at least 1."
        )
