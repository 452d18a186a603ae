"""Measures of features, as functions of arrays: neighbours, collapse, rank, and the hypersphere.

All are pure and may be jitted; the options after `*` are static. None is meant to be trained on.
"""

import chex
import jax
import jax.numpy as jnp

from byol_jax import collectives, errors, losses


def knn_scores(
    queries: jax.Array,
    rows: jax.Array,
    labels: jax.Array,
    *,
    num_classes: int,
    k: int,
    temperature: float,
) -> jax.Array:
    """The weighted vote of each query's k nearest rows: [B, num_classes], at least 0, summing to 1.

    queries are [B, F], rows [N, F], their labels int [N] in [0, num_classes). A neighbour's vote
    weighs exp(cos / temperature) (Wu et al. 2018, section 3.4); the votes of a query are divided by
    their sum, so that a low temperature does not overflow. A label out of range votes for nothing.

    Raises ValueError when k is not in [1, N] or the temperature is not above 0.
    """
    chex.assert_rank([queries, rows, labels], [2, 2, 1])
    chex.assert_equal_shape_prefix([rows, labels], 1)
    chex.assert_equal_shape_suffix([queries, rows], 1)
    if not 1 <= k <= len(rows):
        raise errors.UserError(
            f"k ({k}) must be in [1, {len(rows)}], the number of rows to search."
        )
    if temperature <= 0:
        raise errors.UserError(f"temperature ({temperature}) must be above 0; 0.1 is usual.")
    cosines = losses.l2_normalize(queries) @ losses.l2_normalize(rows).T  # [B, N]
    nearest, index = jax.lax.top_k(cosines, k)  # [B, k]
    weights = jax.nn.softmax(nearest / temperature, axis=-1)
    votes = jax.nn.one_hot(jnp.asarray(labels)[index], num_classes, dtype=weights.dtype)
    return jnp.einsum("bk,bkc->bc", weights, votes)


def accuracy(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """1.0 where the highest of scores [B, classes] is at the label (int [B]), else 0.0: float [B].

    Of equally high scores the first class counts.
    """
    chex.assert_rank([scores, labels], [2, 1])
    chex.assert_equal_shape_prefix([scores, labels], 1)
    guesses = jnp.argmax(scores, axis=-1)
    return (guesses == jnp.asarray(labels).astype(guesses.dtype)).astype(jnp.float32)


def spread(x: jax.Array, *, axis_name: str | None = None) -> jax.Array:
    """How far the directions of x [B, D] spread: a scalar in [0, 1], 0 when they have collapsed.

    The mean over dimensions of the standard deviation of the l2-normalized rows, times sqrt(D):
    uniform directions give 1 (Chen & He 2021, section 4.1, who print it without the factor). The
    rows of all devices of `axis_name` count as one batch, exactly.
    """
    chex.assert_rank(x, 2)
    rows = losses.l2_normalize(x)
    center = collectives.pmean(jnp.mean(rows, axis=0, keepdims=True), axis_name)  # [1, D]
    variance = collectives.pmean(jnp.mean((rows - center) ** 2, axis=0), axis_name)  # [D]
    return jnp.mean(jnp.sqrt(variance)) * x.shape[1] ** 0.5


def effective_rank(x: jax.Array) -> jax.Array:
    """RankMe: exp of the entropy of the normalized singular values of x [N, D], a scalar.

    Between 1 (all rows on one line) and min(N, D) (equal singular values); x is not centered
    (Garrido et al. 2023, equation 1, without its eps). A zero matrix gives 1.
    """
    chex.assert_rank(x, 2)
    singular = jnp.linalg.svd(x, compute_uv=False)
    shares = singular / jnp.maximum(jnp.sum(singular), jnp.finfo(singular.dtype).tiny)
    return jnp.exp(jnp.sum(jax.scipy.special.entr(shares)))


def alignment(a: jax.Array, b: jax.Array) -> jax.Array:
    """Mean squared distance of positive pairs' directions, a and b [N, D]: a scalar in [0, 4].

    Lower is better (Wang & Isola 2020, equation 5 with alpha = 2).
    """
    return jnp.mean(losses.cosine_distance(a, b))


def uniformity(x: jax.Array) -> jax.Array:
    """Log of the mean over pairs of rows of x [N, D] of exp(-2 d^2): a scalar in [-8, 0].

    d is the distance of their directions; 0 is a collapse, lower is better (Wang & Isola 2020,
    equation 6 with t = 2). Builds [N, N]: give it some thousand rows at most.

    Raises ValueError when there are fewer than two rows.
    """
    chex.assert_rank(x, 2)
    num_rows = len(x)
    if num_rows < 2:
        raise errors.UserError(
            f"uniformity compares pairs of rows and got {num_rows}; give 2 or more."
        )
    rows = losses.l2_normalize(x)
    exponents = 4.0 * (rows @ rows.T - 1.0)  # -2 d^2, for d^2 = 2 - 2 cos
    exponents = jnp.where(jnp.eye(num_rows, dtype=bool), -jnp.inf, exponents)
    return jax.nn.logsumexp(exponents) - jnp.log(num_rows * (num_rows - 1.0))
