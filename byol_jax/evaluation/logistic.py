"""The logistic protocol: logistic regression on frozen features, solved by L-BFGS."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

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
    """Fits multinomial logistic regression on frozen features and measures its accuracy.

    L-BFGS minimizes the sum of the examples' cross-entropies plus penalty / 2 times the sum of the
    squared weights, without the bias. Features are standardized as in `features.standardize`. The
    penalty with the best accuracy on a held-out part of the training split (the largest one in a
    tie) is used on the whole training split. The test split plays no part in this choice. Source:
    Chen et al. 2020, appendix B.8.

    Args:
        train_features: Training features [N, F].
        train_labels: Training labels, int [N] in [0, num_classes).
        test_features: Test features [M, F].
        test_labels: Test labels, int [M] in [0, num_classes).
        num_classes: Number of classes.
        penalties: Penalties to try, positive.
        max_iterations: Maximum number of L-BFGS iterations per penalty.
        validation_fraction: Fraction of the training split that is held out to choose the penalty.
        seed: Seed of the held-out part.

    Returns:
        The accuracy on the test features.

    Raises:
        UserError: If labels are missing or do not fit the features, or an option is out of range.
    """
    features.check(train_features, train_labels, num_classes, "training")
    features.check(test_features, test_labels, num_classes, "test")
    penalties = _check_and_sort(penalties)
    train, test = features.standardize(np.asarray(train_features), np.asarray(test_features))
    labels = np.asarray(train_labels, np.int32)
    start = np.zeros((train.shape[1] + 1, num_classes), np.float32)
    parts = features.split(np.random.default_rng(seed), len(train), validation_fraction)
    penalty, accuracy = _choose_penalty(train, labels, parts, penalties, start, max_iterations)
    settings = {
        "penalty": penalty,
        "validation_accuracy": accuracy,
        "penalties": len(penalties),
        "max_iterations": max_iterations,
        "validation_fraction": validation_fraction,
        "seed": seed,
        "num_train": len(train),
        "num_test": len(test),
    }
    weights = fit(train, labels, penalty, start, max_iterations)
    predictions = predict(weights, test)
    return table.make_row(
        "logistic", settings, labels=test_labels, predictions=predictions, num_classes=num_classes
    )


def _check_and_sort(penalties: Sequence[float]) -> list[float]:
    """Returns the penalties in descending order."""
    if len(penalties) == 0 or min(penalties) <= 0:
        values = tuple(penalties)
        raise errors.UserError(f"penalties must be one or more positive numbers, not {values}.")
    return sorted(penalties, reverse=True)


def _choose_penalty(inputs, labels, parts, penalties, start, max_iterations) -> tuple[float, float]:
    """Returns the penalty with the best held-out accuracy, and that accuracy."""
    fitted, held_out = parts
    validation = []
    weights = start
    # From the largest penalty down, each fit starts from the solution of the previous penalty.
    for penalty in penalties:
        weights = fit(inputs[fitted], labels[fitted], penalty, weights, max_iterations)
        validation.append(np.mean(predict(weights, inputs[held_out]) == labels[held_out]))
    best = int(np.argmax(validation))
    return penalties[best], float(validation[best])


def fit(
    inputs: np.ndarray, labels: np.ndarray, penalty: float, start: np.ndarray, max_iterations: int
) -> np.ndarray:
    """Fits multinomial logistic regression by L-BFGS.

    The objective is divided by N, which does not change its minimum.

    Args:
        inputs: Features [N, F].
        labels: Labels, int32 [N].
        penalty: Weight of the squared weights, without the bias; see `logistic`.
        start: Initial weights [F + 1, classes].
        max_iterations: Maximum number of L-BFGS iterations.

    Returns:
        Weights, float32 [F + 1, classes]; the last row is the bias.
    """
    import scipy.optimize  # imported here, because it takes half a second

    device_inputs = jnp.asarray(inputs)
    device_labels = jnp.asarray(labels)
    scaled_penalty = jnp.float32(penalty / len(inputs))

    def objective(flat):
        weights = jnp.asarray(flat.reshape(start.shape), jnp.float32)
        value, grad = value_and_grad(weights, device_inputs, device_labels, scaled_penalty)
        return float(value), np.asarray(grad, np.float64).ravel()

    options = {"maxiter": max_iterations, "maxfun": 2 * max_iterations}
    solution = scipy.optimize.minimize(
        objective, start.ravel(), jac=True, method="L-BFGS-B", options=options
    )
    return solution.x.reshape(start.shape).astype(np.float32)


def predict(weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Predicts the most likely class of each row of features.

    Args:
        weights: Array [F + 1, classes]; the last row is the bias.
        inputs: Features [N, F].

    Returns:
        Classes, int [N].
    """
    return np.argmax(inputs @ weights[:-1] + weights[-1], axis=-1)


@jax.jit
@jax.value_and_grad
def value_and_grad(
    weights: jax.Array, inputs: jax.Array, labels: jax.Array, penalty: jax.Array
) -> jax.Array:
    """Computes the objective of multinomial logistic regression, and its gradient.

    Args:
        weights: Array [F + 1, classes]; the last row is the bias.
        inputs: Features [N, F].
        labels: Labels, int32 [N].
        penalty: Weight of the squared weights, for the mean over the examples.

    Returns:
        The objective; the decorator adds its gradient with respect to the weights.
    """
    scores = inputs @ weights[:-1] + weights[-1][None, :]
    losses = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
    return jnp.mean(losses) + penalty / 2.0 * jnp.sum(weights[:-1] ** 2)
