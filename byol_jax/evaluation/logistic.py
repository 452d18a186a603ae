"""The logistic protocol: regression solved to the end by L-BFGS, its penalty chosen honestly."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize

from byol_jax import errors
from byol_jax.evaluation import features, table
from byol_jax.evaluation.table import Row

PENALTIES = tuple(np.logspace(-6, 5, 45).tolist())


def logistic(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    *,
    num_classes: int,
    penalties: Sequence[float] = PENALTIES,
    max_iterations: int = 500,
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> Row:
    """The accuracy of multinomial logistic regression (Chen et al. 2020, appendix B.8).

    Features are [N, F], labels int [N] in [0, num_classes); the two splits may differ in N. What is
    least is the sum of the examples' cross-entropies and penalty / 2 times the sum of the squared
    weights, the bias apart; features are standardized as in `linear`. The penalty is the one best on
    a random validation_fraction of the training split (the largest of equals), then all of it is
    trained on. The test split is read once, at the end.

    Raises ValueError when labels are missing, out of range, or do not fit the features, when
    validation_fraction leaves no example on either side, or a penalty is not above 0.
    """
    features.check(train_features, train_labels, num_classes, "training")
    features.check(test_features, test_labels, num_classes, "test")
    penalties = sorted(penalties, reverse=True)
    if not penalties or min(penalties) <= 0:
        raise errors.UserError(f"penalties {tuple(penalties)} must be one or more, above 0.")
    rng = np.random.default_rng(seed)
    kept, held_out = features.split(rng, len(train_features), validation_fraction)
    train, test = features.standardize(np.asarray(train_features), np.asarray(test_features))
    labels = np.asarray(train_labels, np.int32)
    validation, weights = [], np.zeros((train.shape[1] + 1, num_classes), np.float32)
    for penalty in penalties:  # each starts where the one before, which bound more, ended
        weights = fit(train[kept], labels[kept], penalty, weights, max_iterations)
        validation.append(np.mean(guess(weights, train[held_out]) == labels[held_out]))
    best = int(np.argmax(validation))
    weights = fit(train, labels, penalties[best], np.zeros_like(weights), max_iterations)
    guesses = guess(weights, test)
    settings = {
        "penalty": penalties[best],
        "validation_accuracy": float(validation[best]),
        "penalties": len(penalties),
        "max_iterations": max_iterations,
        "validation_fraction": validation_fraction,
        "seed": seed,
        "num_train": len(train),
        "num_test": len(test),
    }
    accuracy = float(np.mean(guesses == np.asarray(test_labels)))
    return Row("logistic", accuracy, settings, table.confusion(test_labels, guesses, num_classes))


def fit(
    inputs: np.ndarray, labels: np.ndarray, penalty: float, start: np.ndarray, max_iterations: int
) -> np.ndarray:
    """Weights [F + 1, classes], the bias last, for inputs [N, F] and labels int32 [N].

    The cross-entropies are averaged, and the penalty divided by N, which has the same minimum.
    """
    inputs, labels = jnp.asarray(inputs), jnp.asarray(labels)

    def value_and_grad(flat):
        weights = jnp.asarray(flat.reshape(start.shape), jnp.float32)
        value, grad = _value_and_grad(weights, inputs, labels, jnp.float32(penalty / len(inputs)))
        return float(value), np.asarray(grad, np.float64).ravel()

    options = {"maxiter": max_iterations, "maxfun": 2 * max_iterations}
    found = scipy.optimize.minimize(
        value_and_grad, start.ravel(), jac=True, method="L-BFGS-B", options=options
    )
    return found.x.reshape(start.shape).astype(np.float32)


def guess(weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """The likeliest class of each row of inputs [N, F]: int [N]."""
    return np.argmax(inputs @ weights[:-1] + weights[-1], axis=-1)


@jax.jit
@jax.value_and_grad
def _value_and_grad(weights, inputs, labels, penalty):
    scores = inputs @ weights[:-1] + weights[-1][None, :]
    losses = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
    return jnp.mean(losses) + penalty / 2.0 * jnp.sum(weights[:-1] ** 2)
