"""The kNN protocol: the labels of the nearest training features vote; nothing is trained."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from byol_jax import metrics
from byol_jax.evaluation import features, table
from byol_jax.evaluation.table import Row

_scores = jax.jit(metrics.knn_scores, static_argnames=("num_classes", "k", "temperature"))


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
    """The accuracy of a weighted vote of the k nearest training features, by cosine similarity.

    Features are [N, F], labels int [N] in [0, num_classes); the two splits may differ in N. The
    rule is that of Wu et al. 2018, section 3.4 (they took k = 200 and a temperature of 0.07). A
    k above the number of training examples becomes that number. `batch_size` queries are compared
    with all training features at once: it bounds the memory and changes no result.

    Raises ValueError when labels are missing, out of range, or do not fit the features.
    """
    features.check(train_features, train_labels, num_classes, "training")
    features.check(test_features, test_labels, num_classes, "test")
    k = min(k, len(train_features))
    vote = functools.partial(
        _scores,
        rows=jnp.asarray(train_features, jnp.float32),
        labels=jnp.asarray(train_labels, jnp.int32),
        num_classes=num_classes,
        k=k,
        temperature=temperature,
    )
    scores = features.extract(vote, np.asarray(test_features, np.float32), batch_size=batch_size)
    guesses = np.argmax(scores, axis=-1)
    settings = {
        "k": k,
        "temperature": temperature,
        "num_train": len(train_features),
        "num_test": len(test_features),
    }
    accuracy = float(np.mean(guesses == np.asarray(test_labels)))
    return Row("knn", accuracy, settings, table.confusion(test_labels, guesses, num_classes))
