"""The losses of self-supervised learning, as functions of arrays.

Each gives one number per example, [B], and hides nothing: no mean, no stop_gradient, no queue.
Similarities are taken between l2-normalized rows where the docstring says so.
"""

import chex
import jax
import jax.numpy as jnp
import optax

from byol_jax import collectives


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
    a, b = l2_normalize(a), l2_normalize(b)
    all_a, all_b = collectives.all_gather((a, b), axis_name)  # [N, D] each
    own = collectives.row_index(len(a), axis_name)
    is_self = own[:, None] == jnp.arange(len(all_a), dtype=own.dtype)[None, :]  # [B, N]

    def direction(rows, others, same):
        across = rows @ others.T / temperature  # [B, N]
        within = jnp.where(is_self, -jnp.inf, rows @ same.T / temperature)
        logits = jnp.concatenate([across, within], axis=1)  # [B, 2N]
        return optax.softmax_cross_entropy_with_integer_labels(logits, own)

    return (direction(a, all_b, all_a) + direction(b, all_a, all_b)) / 2.0


def info_nce(
    queries: jax.Array, positives: jax.Array, negatives: jax.Array, *, temperature: float
) -> jax.Array:
    """Cross-entropy of each query's positive among shared negatives: [B], at least 0.

    queries and positives are [B, D]; negatives are [K, D], the positives not among them. Similarity
    is the inner product: normalize the rows first for MoCo's loss (He et al. 2020, equation 1).
    """
    chex.assert_equal_shape([queries, positives])
    chex.assert_shape(negatives, (None, queries.shape[-1]))
    positive = jnp.sum(queries * positives, axis=-1, keepdims=True)  # [B, 1]
    logits = jnp.concatenate([positive, queries @ negatives.T], axis=1) / temperature  # [B, 1 + K]
    return jax.nn.logsumexp(logits, axis=1) - logits[:, 0]


def instance_softmax(
    queries: jax.Array, rows: jax.Array, index: jax.Array, *, temperature: float
) -> jax.Array:
    """Cross-entropy of telling rows[index[i]] from all other rows for query i: [B], at least 0.

    queries are [B, D], rows [N, D], index int [B] in [0, N); similarity is the inner product. The
    exact softmax of instance discrimination (Wu et al. 2018, equation 2) over the bank, CPC's
    InfoNCE over the batch (van den Oord et al. 2018, equation 4) with queries @ W, and MoCo v3's.
    """
    chex.assert_rank([queries, rows, index], [2, 2, 1])
    chex.assert_equal_shape_prefix([queries, index], 1)
    logits = queries @ rows.T / temperature  # [B, N]
    return optax.softmax_cross_entropy_with_integer_labels(logits, index)


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
