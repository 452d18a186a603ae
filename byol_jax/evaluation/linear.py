"""The linear protocol: a softmax classifier on frozen features, its settings chosen honestly."""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

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
    """The accuracy of a linear softmax classifier, the protocol of Zhang et al. 2016 and after.

    Features are [N, F], labels int [N] in [0, num_classes); the two splits may differ in N. Every
    learning rate is tried with every weight decay, all at once, on the training split without a
    random validation_fraction of it; the pair best on that fraction (the first of equals) is
    trained once more on the whole training split. The test split is read once, at the end, and
    chooses nothing. Both splits are standardized by the training features and divided by sqrt(F),
    so that rows are about 1 long and the same learning rates serve any F.

    Raises ValueError when labels are missing, out of range, or do not fit the features, when an
    option is out of range, or when validation_fraction leaves no example on either side.
    """
    features.check(train_features, train_labels, num_classes, "training")
    features.check(test_features, test_labels, num_classes, "test")
    _check_options(learning_rates, weight_decays, epochs, batch_size)
    grid = list(itertools.product(learning_rates, weight_decays))
    rng = np.random.default_rng(seed)
    kept, held_out = features.split(rng, len(train_features), validation_fraction)
    train, test = features.standardize(np.asarray(train_features), np.asarray(test_features))
    train, labels = jnp.asarray(train), jnp.asarray(train_labels, jnp.int32)

    def train_on(rows, settings):
        rates, decays = jnp.asarray(settings, jnp.float32).T
        order = jnp.asarray(features.order(rng, rows, epochs, batch_size))
        return fit(train, labels, order, rates, decays, num_classes=num_classes)

    validation = _accuracies(train_on(kept, grid), train[held_out], labels[held_out])
    best = int(np.argmax(validation))
    final = train_on(np.arange(len(train)), grid[best : best + 1])
    guesses = np.argmax(_logits(jax.tree.map(lambda x: x[0], final), jnp.asarray(test)), axis=-1)
    settings = {
        "learning_rate": grid[best][0],
        "weight_decay": grid[best][1],
        "validation_accuracy": float(validation[best]),
        "learning_rates": tuple(learning_rates),
        "weight_decays": tuple(weight_decays),
        "epochs": epochs,
        "batch_size": batch_size,
        "validation_fraction": validation_fraction,
        "seed": seed,
        "num_train": len(train),
        "num_validation": len(held_out),
        "num_test": len(test),
    }
    accuracy = float(np.mean(guesses == np.asarray(test_labels)))
    return Row("linear", accuracy, settings, table.confusion(test_labels, guesses, num_classes))


class Probe(NamedTuple):
    """A linear classifier: `weights` [F, classes], `bias` [classes]; grids put G in front."""

    weights: jax.Array
    bias: jax.Array


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
    """Trains one probe per setting, all G at once, from zero: leaves [G, ...].

    inputs are float32 [N, F] and labels int32 [N]; order is int32 [steps, batch], the examples of
    each step, the same for every setting; learning_rates and weight_decays are float32 [G]. SGD
    with Nesterov momentum 0.9 and a cosine decay to 0; the bias is not decayed. No setting
    influences another.
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
    """The accuracy of each of G probes: [G]; one after another, for [G, N, classes] may not fit."""

    def accuracy(probe):
        return jnp.mean(metrics.accuracy(_logits(probe, inputs), labels))

    return jax.lax.map(accuracy, probes)


def _check_options(learning_rates, weight_decays, epochs, batch_size):
    if len(learning_rates) == 0 or min(learning_rates) <= 0:
        raise errors.UserError(
            f"learning_rates {tuple(learning_rates)} must be one or more, above 0."
        )
    if len(weight_decays) == 0 or min(weight_decays) < 0:
        raise errors.UserError(
            f"weight_decays {tuple(weight_decays)} must be one or more, 0 or above."
        )
    if epochs < 1 or batch_size < 1:
        raise errors.UserError(
            f"epochs ({epochs}) and batch_size ({batch_size}) must be 1 or more."
        )
