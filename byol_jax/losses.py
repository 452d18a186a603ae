"""Loss functions of self-supervised learning, on plain arrays.

Each function returns one loss per example, [B]. The caller averages the losses, stops gradients
and fills queues. `nt_xent`, `info_nce` and `instance_softmax` compute in float32 or float64, and
split large logit matrices into tiles (see `log_sum_exp`): their memory grows with the number of
rows, not with the number of pairs.
"""

import chex
import jax
import jax.numpy as jnp

from byol_jax import collectives, log_sum_exp


def l2_normalize(x: jax.Array, *, eps: float = 1e-12) -> jax.Array:
    """Scales the vectors along an array's last axis to length 1.

    Args:
        x: Array [..., D].
        eps: Lower bound on the squared length; a zero vector stays zero.

    Returns:
        Array [..., D] of unit vectors.
    """
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), eps))


def cosine_distance(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes the squared distance between l2-normalized vectors, 2 - 2 cos.

    This is BYOL's loss in one direction (Grill et al. 2020, equation 2). BYOL adds the loss with
    the two views swapped.

    Args:
        predictions: Outputs of the predictor, [B, D]; normalized here.
        targets: Projections of the target network, [B, D]; normalized here. BYOL stops their
            gradient.

    Returns:
        Distances [B] between 0 and 4.
    """
    chex.assert_rank(predictions, 2)
    chex.assert_equal_shape([predictions, targets])
    return 2.0 - 2.0 * jnp.sum(l2_normalize(predictions) * l2_normalize(targets), axis=-1)


def nt_xent(
    a: jax.Array, b: jax.Array, *, temperature: float, axis_name: str | None = None
) -> jax.Array:
    """Computes SimCLR's NT-Xent loss between the projections of two views.

    For each row of one view, a softmax over all other rows of both views must identify the row of
    the same example in the other view (Chen et al. 2020, equation 1). The similarity is the cosine.
    With `axis_name`, the softmax includes the rows of all devices, and gradients flow through the
    gather. SimCLR's published code sums the two directions; its loss is twice this one.

    Args:
        a: Projections of the first view, [B, D]; normalized here.
        b: Projections of the second view, [B, D]; normalized here.
        temperature: Divisor of the cosines, above 0.
        axis_name: Name of the mapped device axis; None computes on one device.

    Returns:
        Losses [B], each the mean of the two directions.
    """
    chex.assert_rank(a, 2)
    chex.assert_equal_shape([a, b])
    a = l2_normalize(_at_least_float32(a))
    b = l2_normalize(_at_least_float32(b))
    all_a, all_b = collectives.all_gather((a, b), axis_name)  # [N, D] each
    own_index = collectives.row_index(len(a), axis_name)
    total = log_sum_exp.over_rows(
        jnp.concatenate([a, b]) / temperature,  # [2B, D]
        jnp.concatenate([all_a, all_b]),  # [2N, D]
        excluded=jnp.concatenate([own_index, own_index + len(all_a)]),
    )
    positive = jnp.sum(a * b, axis=-1) / temperature
    return (total[: len(a)] + total[len(a) :]) / 2.0 - positive


def info_nce(
    queries: jax.Array, positives: jax.Array, negatives: jax.Array, *, temperature: float
) -> jax.Array:
    """Computes the cross-entropy of each query's positive against negatives shared by all queries.

    The similarity is the inner product. With l2-normalized rows and a queue of negatives, this is
    MoCo's loss (He et al. 2020, equation 1).

    Args:
        queries: Array [B, D].
        positives: The positive of each query, [B, D].
        negatives: Array [K, D]; it must not contain the positives.
        temperature: Divisor of the similarities, above 0.

    Returns:
        Losses [B], at least 0.
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
    """Computes the cross-entropy of a softmax over all rows, one of which is the query's positive.

    The similarity is the inner product. Three published losses are special cases:

    - The exact softmax of instance discrimination, if the rows are the memory bank (Wu et al. 2018,
      equation 2).
    - CPC's InfoNCE, if the queries are multiplied by W and the rows are the batch (van den Oord et
      al. 2018, equation 4).
    - MoCo v3's loss, if the rows are the keys of the batch (Chen et al. 2021). MoCo v3 also
      multiplies it by twice the temperature.

    Args:
        queries: Array [B, D].
        rows: Array [N, D], the positives and negatives of all queries.
        index: Position in `rows` of each query's positive, int [B], in [0, N).
        temperature: Divisor of the similarities, above 0.

    Returns:
        Losses [B], at least 0 up to rounding.
    """
    chex.assert_rank([queries, rows, index], [2, 2, 1])
    chex.assert_equal_shape_prefix([queries, index], 1)
    queries = _at_least_float32(queries) / temperature
    rows = _at_least_float32(rows)
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
    """Computes the noise-contrastive estimation loss with a uniform noise distribution.

    The loss approximates the softmax over all examples by a binary classification of the positive
    against K noise samples (Wu et al. 2018, equations 5 to 8). As in the authors' code, an eps of
    1e-7 in the denominators keeps the logarithms finite.

    Args:
        features: Features of the batch, [B, D].
        positives: The memory-bank row of each example, [B, D].
        negatives: K memory-bank rows per example, [B, K, D], drawn uniformly.
        num_examples: Number of rows in the memory bank.
        normalizer: The constant Z of the softmax, a scalar.
        temperature: Divisor of the inner products, above 0.

    Returns:
        Losses [B].
    """
    chex.assert_equal_shape([features, positives])
    chex.assert_rank(negatives, 3)
    eps = 1e-7
    noise = negatives.shape[1] / num_examples  # K times the noise probability of one row

    def probability(rows):
        return jnp.exp(jnp.sum(features[:, None] * rows, axis=-1) / temperature) / normalizer

    positive = probability(positives[:, None])[:, 0]  # [B]
    negative = probability(negatives)  # [B, K]
    log_data = jnp.log(positive / (positive + noise + eps))
    log_noise = jnp.log(noise / (negative + noise + eps))
    return -(log_data + jnp.sum(log_noise, axis=1))


def _at_least_float32(x: jax.Array) -> jax.Array:
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)
