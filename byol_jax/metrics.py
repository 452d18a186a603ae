"""Metrics of features: nearest neighbours, accuracy, collapse, effective rank and uniformity.

All functions are pure and can be jitted; the arguments after `*` must be static. None of them is
meant as a training loss.
"""

import chex
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jax.typing import ArrayLike

from byol_jax import collectives, errors, explicit, log_sum_exp, losses
from byol_jax.collectives import AxisName

__all__ = ["accuracy", "alignment", "effective_rank", "knn_scores", "spread", "uniformity"]

_HIGHEST = jax.lax.Precision.HIGHEST


def _per_query(queries, *args, **kwargs):
    """Returns the sharding of one row per query, taken from the first argument's first axis."""
    del args, kwargs
    return PartitionSpec(*explicit.spec(queries, axes=1), None)


def _scalar(*args, **kwargs):
    del args, kwargs
    return PartitionSpec()


@explicit.automatic(_per_query)
def knn_scores(
    queries: ArrayLike,
    rows: ArrayLike,
    labels: ArrayLike,
    *,
    num_classes: int,
    k: int,
    temperature: float,
) -> jax.Array:
    """Computes class scores for each query by a weighted vote of its k nearest neighbours.

    A neighbour votes for its label with the weight exp(cosine / temperature) (Wu et al. 2018,
    section 3.4). The votes of a query are divided by their sum, so that a low temperature does not
    overflow.

    Args:
        queries: Features to classify, [B, F]; normalized here.
        rows: Features with known labels, [N, F]; normalized here.
        labels: Labels of the rows, int [N], in [0, num_classes). A label outside this range votes
            for no class.
        num_classes: Number of classes.
        k: Number of neighbours, in [1, N].
        temperature: Divisor of the cosines, above 0.

    Returns:
        Scores [B, num_classes], at least 0; each row sums to 1 if all labels are in range.

    Raises:
        UserError: If k is not in [1, N], or the temperature is not above 0.
    """
    queries = losses.at_least_float32(queries)
    rows = losses.at_least_float32(rows)
    labels = jnp.asarray(labels)
    chex.assert_rank([queries, rows, labels], [2, 2, 1])
    chex.assert_equal_shape_prefix([rows, labels], 1)
    chex.assert_equal_shape_suffix([queries, rows], 1)
    num_rows = rows.shape[0]
    if not 1 <= k <= num_rows:
        raise errors.UserError(
            f"k ({k}) must be in [1, {num_rows}]; there are {num_rows} rows to search."
        )
    if temperature <= 0:
        raise errors.UserError(f"temperature ({temperature}) must be above 0; 0.1 is usual.")
    unit_rows = losses.l2_normalize(rows)
    cosines = jnp.matmul(losses.l2_normalize(queries), unit_rows.T, precision=_HIGHEST)  # [B, N]
    nearest, index = jax.lax.top_k(cosines, k)  # [B, k]
    weights = jax.nn.softmax(nearest / temperature, axis=-1)
    votes = jax.nn.one_hot(labels[index], num_classes, dtype=weights.dtype)
    return jnp.einsum("bk,bkc->bc", weights, votes, precision=_HIGHEST)


@explicit.automatic(lambda scores, labels: explicit.spec(scores, axes=1))
def accuracy(scores: ArrayLike, labels: ArrayLike) -> jax.Array:
    """Returns, for each example, whether the highest-scoring class is the label.

    If several scores are equally high, the first counts.

    Args:
        scores: Class scores or logits, [B, num_classes].
        labels: Labels, int [B].

    Returns:
        1.0 for a correct and 0.0 for a wrong prediction, float32 [B]; the mean is the accuracy.
    """
    scores = jnp.asarray(scores)
    labels = jnp.asarray(labels)
    chex.assert_rank([scores, labels], [2, 1])
    chex.assert_equal_shape_prefix([scores, labels], 1)
    guesses = jnp.argmax(scores, axis=-1)
    return (guesses == labels.astype(guesses.dtype)).astype(jnp.float32)


@explicit.automatic(_scalar)
def spread(x: ArrayLike, *, axis_name: AxisName = None) -> jax.Array:
    """Computes how far the directions of feature vectors spread, to detect collapse.

    The spread is the standard deviation of the l2-normalized rows, averaged over the dimensions,
    times sqrt(D). Uniform directions give 1, and a complete collapse gives 0. Chen and He
    (2021, section 4.1) print the same measure without the factor sqrt(D).

    Args:
        x: Features or projections, [B, D]; normalized here.
        axis_name: Name of the mapped device axis, whose devices' rows count as one batch; None
            computes on one device.

    Returns:
        A scalar in [0, 1].
    """
    x = losses.at_least_float32(x)
    chex.assert_rank(x, 2)
    rows = losses.l2_normalize(x)
    center = collectives.pmean(jnp.mean(rows, axis=0, keepdims=True), axis_name)  # [1, D]
    variance = collectives.pmean(jnp.mean((rows - center) ** 2, axis=0), axis_name)  # [D]
    return jnp.mean(jnp.sqrt(variance)) * x.shape[1] ** 0.5


@explicit.automatic(_scalar)
def effective_rank(x: ArrayLike) -> jax.Array:
    """Computes RankMe, the effective rank of a feature matrix.

    RankMe is the exponential of the entropy of the normalized singular values (Garrido et al. 2023,
    equation 1, without its eps). The rows are not centered. A zero matrix gives 1.

    Args:
        x: Features or projections, [N, D].

    Returns:
        A scalar between 1 (all rows on one line) and min(N, D) (equal singular values).
    """
    x = losses.at_least_float32(x)
    chex.assert_rank(x, 2)
    with jax.default_matmul_precision("highest"):
        singular_values = jnp.linalg.svd(x, compute_uv=False)
    tiny = jnp.finfo(singular_values.dtype).tiny
    shares = singular_values / jnp.maximum(jnp.sum(singular_values), tiny)
    return jnp.exp(jnp.sum(jax.scipy.special.entr(shares)))


@explicit.automatic(_scalar)
def alignment(a: ArrayLike, b: ArrayLike) -> jax.Array:
    """Computes the mean squared distance between the l2-normalized features of positive pairs.

    Lower is better (Wang and Isola 2020, equation 5 with alpha = 2).

    Args:
        a: Features of the first view, [N, D]; normalized here.
        b: Features of the second view, [N, D]; normalized here.

    Returns:
        A scalar in [0, 4].
    """
    return jnp.mean(losses.normalized_squared_error(a, b))


@explicit.automatic(_scalar)
def uniformity(x: ArrayLike) -> jax.Array:
    """Computes how uniformly l2-normalized features cover the hypersphere.

    The uniformity is the logarithm of the mean of exp(-2 d²) over all pairs of rows, where d is the
    distance of their directions (Wang and Isola 2020, equation 6 with t = 2). Lower is better, and
    0 means a complete collapse. The function builds a matrix [N, N]: pass at most a few thousand
    rows.

    Args:
        x: Features or projections, [N, D]; normalized here.

    Returns:
        A scalar in [-8, 0].

    Raises:
        UserError: If there are fewer than two rows.
    """
    x = losses.at_least_float32(x)
    chex.assert_rank(x, 2)
    num_rows = x.shape[0]
    if num_rows < 2:
        raise errors.UserError(
            f"uniformity compares pairs of rows, but got {num_rows}; give 2 or more."
        )
    rows = losses.l2_normalize(x)
    cosines = jnp.matmul(rows, rows.T, precision=_HIGHEST)
    exponents = 4.0 * (cosines - 1.0)  # -2 d², since d² = 2 - 2 cos
    exponents = jnp.where(jnp.eye(num_rows, dtype=bool), log_sum_exp.lowest(rows), exponents)
    return jax.nn.logsumexp(exponents) - jnp.log(num_rows * (num_rows - 1.0))
