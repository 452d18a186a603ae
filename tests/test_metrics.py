"""Measures of features: votes by hand and by a loop, and the bounds that collapse would touch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from byol_jax import metrics


def _normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def test_the_votes_of_neighbours_by_hand():
    query = jnp.array([[2.0, 0.0]])
    rows = jnp.array([[3.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])  # at cosines 1, 0 and -1
    labels = jnp.array([0, 1, 2])
    got = metrics.knn_scores(query, rows, labels, num_classes=3, k=2, temperature=0.5)
    weights = np.exp([1 / 0.5, 0])
    np.testing.assert_allclose(got, [[*weights / weights.sum(), 0.0]], rtol=1e-6)


def _vote(query, rows, labels, num_classes, k, temperature):
    """One query's scores, neighbour by neighbour."""
    cosines = rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
    scores = np.zeros(num_classes)
    for i in np.argsort(-cosines)[:k]:
        scores[labels[i]] += np.exp(cosines[i] / temperature)
    return scores / scores.sum()


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (7, 0.1), (30, 1.0)])
def test_the_scores_are_those_of_a_loop(k, temperature):
    queries, rows = _normal(0, 5, 4), _normal(1, 30, 4)
    labels = np.arange(30) % 3
    got = metrics.knn_scores(queries, rows, labels, num_classes=3, k=k, temperature=temperature)
    queries, rows = np.asarray(queries), np.asarray(rows)
    want = [_vote(query, rows, labels, 3, k, temperature) for query in queries]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_a_low_temperature_does_not_overflow():
    rows, labels = _normal(0, 9, 4), jnp.arange(9)
    got = metrics.knn_scores(rows, rows, labels, num_classes=9, k=9, temperature=0.001)
    np.testing.assert_allclose(got, np.eye(9), atol=1e-6)


@pytest.mark.parametrize(
    ("k", "temperature", "words"),
    [
        (0, 0.1, r"k \(0\) must be in \[1, 3\]"),
        (4, 0.1, r"k \(4\) must be"),
        (1, 0, "must be above 0"),
    ],
)
def test_a_vote_that_cannot_be_says_what_can(k, temperature, words):
    rows, labels = jnp.eye(3), jnp.arange(3)
    with pytest.raises(ValueError, match=words):
        metrics.knn_scores(rows, rows, labels, num_classes=3, k=k, temperature=temperature)


def test_accuracy_takes_the_first_of_equal_scores():
    scores = jnp.array([[0.1, 0.9], [0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_array_equal(metrics.accuracy(scores, jnp.array([1, 0, 1])), [1.0, 1.0, 0.0])


def test_spread_is_0_in_a_collapse_whatever_the_lengths():
    collapsed = jnp.array([[1.0], [2.0], [7.0]]) * jnp.array([[0.3, -0.4, 0.5]])
    np.testing.assert_allclose(metrics.spread(collapsed), 0.0, atol=1e-6)


@pytest.mark.parametrize("dim", [8, 128])
def test_spread_is_1_for_directions_drawn_uniformly(dim):
    np.testing.assert_allclose(metrics.spread(_normal(0, 4000, dim)), 1.0, rtol=0.01)


def test_spread_over_4_devices_is_that_of_one():
    x = _normal(0, 12, 5) + jnp.arange(12.0)[:, None]  # each device has another mean
    four = jax.vmap(lambda x: metrics.spread(x, axis_name="d"), axis_name="d")
    np.testing.assert_allclose(four(x.reshape(4, 3, 5)), np.full(4, metrics.spread(x)), rtol=1e-5)


def test_effective_rank_is_between_one_line_and_all_dimensions():
    line = _normal(0, 20, 1) * _normal(1, 1, 6)
    np.testing.assert_allclose(metrics.effective_rank(line), 1.0, rtol=1e-3)
    np.testing.assert_allclose(metrics.effective_rank(3.0 * jnp.eye(20, 6)), 6.0, rtol=1e-5)
    np.testing.assert_allclose(metrics.effective_rank(jnp.zeros((20, 6))), 1.0)
    assert 1 < metrics.effective_rank(_normal(2, 20, 6)) < 6


def test_effective_rank_by_hand():
    shares = np.array([0.75, 0.25])
    got = metrics.effective_rank(jnp.diag(jnp.array([3.0, 1.0])))
    np.testing.assert_allclose(got, np.exp(-np.sum(shares * np.log(shares))), rtol=1e-5)


def test_alignment_is_the_mean_squared_distance_of_directions():
    a = jnp.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    b = jnp.array([[5.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])  # at squared distances 0, 2 and 4
    np.testing.assert_allclose(metrics.alignment(a, b), 2.0, rtol=1e-6)


def test_uniformity_is_the_log_of_the_mean_gaussian_over_pairs():
    x = np.asarray(_normal(0, 9, 4))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    pairs = [(i, j) for i in range(9) for j in range(i)]
    gaussians = [np.exp(-2 * np.sum((unit[i] - unit[j]) ** 2)) for i, j in pairs]
    np.testing.assert_allclose(metrics.uniformity(x), np.log(np.mean(gaussians)), rtol=1e-5)


def test_uniformity_is_0_in_a_collapse_and_minus_8_for_opposites():
    row = jnp.array([[1.0, 2.0]])
    np.testing.assert_allclose(metrics.uniformity(jnp.tile(row, (5, 1))), 0.0, atol=1e-5)
    both = jnp.concatenate([row, -row])
    np.testing.assert_allclose(metrics.uniformity(both), -8.0, rtol=1e-5)


def test_uniformity_of_one_row_asks_for_two():
    with pytest.raises(ValueError, match="give 2 or more"):
        metrics.uniformity(jnp.ones((1, 3)))
