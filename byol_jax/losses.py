"""The losses of self-supervised learning, as functions of arrays.

Each gives one number per example, [B], and hides nothing: no mean, no stop_gradient, no queue.
Similarities are taken between l2-normalized rows where the docstring says so. The contrastive
ones compute in float32 at least, and hold no more logits together than log_sum_exp allows, so that
a batch or a queue costs its rows' memory, not its pairs'.
"""

import chex
import jax
import jax.numpy as jnp

from byol_jax import collectives, log_sum_exp


def l2_normalize(x: jax.Array, *, eps: float = 1e-12) -> jax.Array:
    """Scales the last axis of x [..., D] to length 1; eps bounds the squared length from below."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), eps))


def cosine_distance(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """The squared distance of the directions of two [B, D]: [B], 2 - 2 cos, between 0 and 4.

    BYOL's loss (Grill et al. 2020, equation 2), one direction of it.
    """
    chex.assert_rank(predictions, 2)
    chex.assert_equal_shape([predictions, targets])
    return 2.0 - 2.0 * jnp.sum(l2_normalize(predictions) * l2_normalize(targets), axis=-1)


def nt_xent(
    a: jax.Array, b: jax.Array, *, temperature: float, axis_name: str | None = None
) -> jax.Array:
    """SimCLR's loss between two views' projections a, b [B, D]: [B], the mean of both directions.

    Row i of one view is to be told from all other rows of both views on all devices of
    `axis_name`; the rows are l2-normalized here, and gradients flow through the gather (Chen et
    al. 2020, equation 1). SimCLR's published code sums the directions: twice this.
    """
    chex.assert_rank(a, 2)
    chex.assert_equal_shape([a, b])
    a, b = l2_normalize(_at_least_float32(a)), l2_normalize(_at_least_float32(b))
    all_a, all_b = collectives.all_gather((a, b), axis_name)  # [N, D] each
    own = collectives.row_index(len(a), axis_name)
    total = log_sum_exp.over_rows(
        jnp.concatenate([a, b]) / temperature,  # [2B, D]
        jnp.concatenate([all_a, all_b]),  # [2N, D]
        excluded=jnp.concatenate([own, own + len(all_a)]),
    )
    positive = jnp.sum(a * b, axis=-1) / temperature
    return (total[: len(a)] + total[len(a) :]) / 2.0 - positive


def info_nce(
    queries: jax.Array, positives: jax.Array, negatives: jax.Array, *, temperature: float
) -> jax.Array:
    """Cross-entropy of each query's positive among shared negatives: [B], at least 0.

    queries and positives are [B, D]; negatives are [K, D], the positives not among them. Similarity
    is the inner product: normalize the rows first for MoCo's loss (He et al. 2020, equation 1).
    """
    chex.assert_equal_shape([queries, positives])
    chex.assert_shape(negatives, (None, queries.shape[-1]))
    queries = _at_least_float32(queries) / temperature
    positive = jnp.sum(queries * _at_least_float32(positives), axis=-1)
    negative = log_sum_exp.over_rows(queries, _at_least_float32(negatives))
    return jax.nn.softplus(negative - positive)


def instance_softmax(
    queries: jax.Array, rows: jax.Array, index: jax.Array, *, temperature: float
) -> jax.Array:
    """Cross-entropy of telling rows[index[i]] from all other rows for query i: [B].

    queries are [B, D], rows [N, D], index int [B] in [0, N); similarity is the inner product. At
    least 0 but for rounding. The exact softmax of instance discrimination (Wu et al. 2018, equation
    2) over the bank, CPC's InfoNCE over the batch (van den Oord et al. 2018, equation 4) with
    queries @ W, and MoCo v3's.
    """
    chex.assert_rank([queries, rows, index], [2, 2, 1])
    chex.assert_equal_shape_prefix([queries, index], 1)
    queries, rows = _at_least_float32(queries) / temperature, _at_least_float32(rows)
    positive = jnp.sum(queries * jnp.take(rows, index, axis=0), axis=-1)
    return log_sum_exp.over_rows(queries, rows) - positive


def nce(
    features: jax.Array,
    positives: jax.Array,
    negatives: jax.Array,
    *,
    num_examples: int,
    normalizer: jax.Array,
    temperature: float,
) -> jax.Array:
    """Noise-contrastive estimation with a uniform noise distribution: [B] (Wu et al. 2018, eq. 5-8).

    features and positives are [B, D], negatives [B, K, D] drawn from the num_examples rows;
    normalizer is the softmax's constant Z, a scalar. The published code's eps of 1e-7, which keeps
    its logarithms finite, is kept.
    """
    chex.assert_equal_shape([features, positives])
    chex.assert_rank(negatives, 3)
    eps = 1e-7
    noise = negatives.shape[1] / num_examples  # K times the noise probability of one row

    def model(rows):
        return jnp.exp(jnp.sum(features[:, None] * rows, axis=-1) / temperature) / normalizer

    positive, negative = model(positives[:, None])[:, 0], model(negatives)  # [B], [B, K]
    is_data = jnp.log(positive / (positive + noise + eps))
    is_noise = jnp.log(noise / (negative + noise + eps))
    return -(is_data + jnp.sum(is_noise, axis=1))


def _at_least_float32(x):
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)
