"""The kNN protocol: the labels of the nearest training features vote, without any training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from byol_jax import metrics
from byol_jax.evaluation import features, table
from byol_jax.evaluation.table import Row

scores = jax.jit(metrics.knn_scores, static_argnames=("num_classes", "k", "temperature"))


def knn(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    *,
    num_classes: int,
    k: int = 20,
    temperature: float = 0.1,
    batch_size: int = 500,
) -> Row:
    """Measures the accuracy of a weighted k-nearest-neighbour classifier with cosine similarity.

    Source: Wu et al. 2018, section 3.4, which uses k = 200 and temperature 0.07.

    Args:
        train_features: Training features [N, F].
        train_labels: Training labels, int [N] in [0, num_classes).
        test_features: Test features [M, F].
        test_labels: Test labels, int [M] in [0, num_classes).
        num_classes: Number of classes.
        k: Number of neighbours that vote; at most N are used.
        temperature: A neighbour's vote has the weight exp(cosine / temperature); positive.
        batch_size: Number of test features compared with all training features at once. It limits
            the memory and does not change the result.

    Returns:
        The accuracy on the test features.

    Raises:
        UserError: If labels are missing or out of range, if they do not fit the features, or if k
            or the temperature is not positive.
    """
    features.check(train_features, train_labels, num_classes, "training")
    features.check(test_features, test_labels, num_classes, "test")
    k = min(k, len(train_features))
    vote = functools.partial(
        scores,
        rows=jnp.asarray(train_features, jnp.float32),
        labels=jnp.asarray(train_labels, jnp.int32),
        num_classes=num_classes,
        k=k,
        temperature=temperature,
    )
    votes = features.extract(vote, np.asarray(test_features, np.float32), batch_size=batch_size)
    predictions = np.argmax(votes, axis=-1)
    settings = {
        "k": k,
        "temperature": temperature,
        "num_train": len(train_features),
        "num_test": len(test_features),
    }
    return table.make_row(
        "knn", settings, labels=test_labels, predictions=predictions, num_classes=num_classes
    )
