"""Logistic regression: scikit-learn's, its penalty chosen without the test split."""

import numpy as np
import pytest
from sklearn import linear_model

from byol_jax.evaluation import logistic
from support.clusters import CLASSES, NOISY, TIDY


def test_logistic_is_scikit_learns_regression():
    train, labels = NOISY[0], NOISY[1].astype(np.int32)
    for penalty in (0.1, 10.0):
        start = np.zeros((6, CLASSES), np.float32)
        weights = logistic.fit(train, labels, penalty, start, 500)
        theirs = linear_model.LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=1000)
        theirs.fit(np.float64(train), labels)
        # Theirs has one bias that is free; ours has the same classes' differences.
        ours = weights - weights.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(ours[:-1], theirs.coef_.T, atol=2e-3)
        np.testing.assert_allclose(
            ours[-1], theirs.intercept_ - theirs.intercept_.mean(), atol=2e-3
        )
        np.testing.assert_array_equal(logistic.predict(weights, train), theirs.predict(train))


def test_logistic_chooses_its_penalty_without_the_test_split():
    options = {"num_classes": CLASSES, "penalties": (1e-3, 1.0, 1e5)}
    row = logistic.logistic(*NOISY, **options)
    permuted = np.random.default_rng(0).permutation(NOISY[3])
    assert logistic.logistic(*NOISY[:3], permuted, **options).settings == row.settings
    assert row.settings["penalty"] < 1e5 and row.accuracy > 0.6
    assert logistic.logistic(*TIDY, **options).accuracy == 1.0


def test_a_penalty_of_zero_is_refused():
    with pytest.raises(ValueError, match="penalties must be one or more positive numbers"):
        logistic.logistic(*TIDY, num_classes=CLASSES, penalties=(0.0,))
