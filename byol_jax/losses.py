"""Loss functions of self-supervised learning, on plain arrays.

Each function returns one loss per example, [B]. The caller averages the losses, stops gradients
and fills queues. All functions compute in float32, or in float64 if an argument is float64, also on
TPUs, whose default for a float32 matrix product is less precise. The contrastive losses split large
logit matrices into tiles (see `log_sum_exp`): their memory grows with the number of rows, not with
the number of pairs.
"""

import math

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from byol_jax import collectives, errors, explicit, log_sum_exp
from byol_jax.collectives import AxisName

__all__ = [
    "info_nce",
    "instance_softmax",
    "l2_normalize",
    "nce",
    "normalized_squared_error",
    "nt_xent",
]

_HIGHEST = jax.lax.Precision.HIGHEST


def _per_example(array, *args, **kwargs):
    """Returns the sharding of losses [B], taken from the first argument's first axis."""
    del args, kwargs
    return explicit.spec(array, axes=1)


def l2_normalize(x: ArrayLike, *, eps: float = 1e-12) -> jax.Array:
    """Scales the vectors along an array's last axis to length 1.

    Args:
        x: Array [..., D].
        eps: Lower bound on the squared length; a zero vector stays zero.

    Returns:
        Array [..., D] of unit vectors, of the dtype of x.
    """
    x = jnp.asarray(x)
    wide = at_least_float32(x)
    squared_length = jnp.sum(wide * wide, axis=-1, keepdims=True)
    return (wide * jax.lax.rsqrt(jnp.maximum(squared_length, eps))).astype(x.dtype)


@explicit.automatic(_per_example)
def normalized_squared_error(predictions: ArrayLike, targets: ArrayLike) -> jax.Array:
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
    predictions, targets = _wide(predictions, targets)
    chex.assert_rank(predictions, 2)
    chex.assert_equal_shape([predictions, targets])
    # Not 2 - 2 cos, which loses the digits of a small distance.
    return jnp.sum((l2_normalize(predictions) - l2_normalize(targets)) ** 2, axis=-1)


@explicit.automatic(_per_example)
def nt_xent(
    a: ArrayLike,
    b: ArrayLike,
    *more: ArrayLike,
    temperature: float,
    mask: ArrayLike | None = None,
    axis_name: AxisName = None,
    precision: jax.lax.PrecisionLike = _HIGHEST,
) -> jax.Array:
    """Computes SimCLR's NT-Xent loss between the projections of two or more views.

    For each row of one view, a softmax must identify the row of the same example in another view
    among that row and the rows of all other examples in all views (Chen et al. 2020, equation 1).
    The similarity is the cosine. With `axis_name`, the softmax includes the rows of all devices,
    and gradients flow through the gather. SimCLR's published code sums the two directions; its loss
    is twice this one.

    Args:
        a: Projections of the first view, [B, D]; normalized here.
        b: Projections of the second view, [B, D]; normalized here.
        *more: Projections of further views, [B, D] each; normalized here.
        temperature: Divisor of the cosines, above 0.
        mask: Which examples are valid, bool [B]. The loss of an invalid one is 0, and no other
            example is compared with it. None means that all are valid.
        axis_name: Name of the mapped device axis; None computes on one device.
        precision: Precision of the matrix products.

    Returns:
        Losses [B], at least 0: the mean over all ordered pairs of different views.
    """
    views = _wide(a, b, *more)
    chex.assert_rank(views[0], 2)
    chex.assert_equal_shape(views)
    batch_size = views[0].shape[0]
    num_views = len(views)
    # The views of an example are adjacent, so that a sharded batch remains sharded by example.
    rows = jnp.stack([l2_normalize(x) for x in views], axis=1)  # [B, V, D]
    valid = _valid(mask, (batch_size,))
    ids = collectives.row_index(batch_size, axis_name)
    row_ids = jnp.repeat(ids, num_views)
    own = log_sum_exp.Rows(_flat(rows), row_ids, jnp.repeat(valid, num_views))
    negatives = log_sum_exp.over_rows(
        own.values / temperature,
        row_ids,
        collectives.all_gather(own, axis_name),
        precision=precision,
    ).reshape(batch_size, num_views, 1)
    positives = jnp.sum(rows[:, :, None] * rows[:, None], axis=-1) / temperature  # [B, V, V]
    pairs = jax.nn.softplus(negatives - positives)
    others = ~jnp.eye(num_views, dtype=bool)
    each = jnp.mean(pairs, axis=(1, 2), where=others)
    return each if mask is None else jnp.where(valid, each, 0.0)


@explicit.automatic(_per_example)
def info_nce(
    queries: ArrayLike,
    positives: ArrayLike,
    negatives: ArrayLike,
    *,
    temperature: float,
    mask: ArrayLike | None = None,
    axis_name: AxisName = None,
    precision: jax.lax.PrecisionLike = _HIGHEST,
) -> jax.Array:
    """Computes the cross-entropy of each query's positive against negatives.

    The similarity is the inner product. With l2-normalized rows and a queue of negatives, this is
    MoCo's loss (He et al. 2020, equation 1).

    Args:
        queries: Array [B, D].
        positives: The positive of each query, [B, D].
        negatives: Negatives that all queries share, [K, D], or the negatives of each query,
            [B, K, D]. They must not contain the positives.
        temperature: Divisor of the similarities, above 0.
        mask: Which negatives are valid, bool [K] or [B, K]; None means that all are.
        axis_name: Name of the mapped device axis, over which shared negatives are gathered. None
            uses the given negatives only, which is right for a queue that is equal on all devices.
        precision: Precision of the matrix products.

    Returns:
        Losses [B], at least 0.

    Raises:
        UserError: If there is an axis_name, and each query has its own negatives.
    """
    queries, positives, negatives = _wide(queries, positives, negatives)
    chex.assert_rank(queries, 2)
    chex.assert_equal_shape([queries, positives])
    queries = queries / temperature
    positive = jnp.sum(queries * positives, axis=-1)
    valid = _valid(mask, negatives.shape[:-1])
    if negatives.ndim == 3:
        if axis_name is not None:
            raise errors.UserError(
                "info_nce gathers only negatives [K, D] that all queries share; for negatives "
                "[B, K, D], leave out axis_name."
            )
        chex.assert_shape(negatives, (queries.shape[0], None, queries.shape[1]))
        logits = jnp.einsum("bd,bkd->bk", queries, negatives, precision=precision)
        negative = jax.nn.logsumexp(jnp.where(valid, logits, log_sum_exp.lowest(logits)), axis=1)
        return jax.nn.softplus(negative - positive)
    chex.assert_shape(negatives, (None, queries.shape[1]))
    rows = log_sum_exp.Rows(negatives, jnp.zeros(negatives.shape[0], jnp.int32), valid)
    rows = collectives.all_gather(rows, axis_name)
    no_row = jnp.full(queries.shape[0], -1, jnp.int32)
    negative = log_sum_exp.over_rows(queries, no_row, rows, precision=precision)
    return jax.nn.softplus(negative - positive)


@explicit.automatic(_per_example)
def instance_softmax(
    queries: ArrayLike,
    rows: ArrayLike,
    index: ArrayLike | None = None,
    *,
    temperature: float,
    mask: ArrayLike | None = None,
    axis_name: AxisName = None,
    precision: jax.lax.PrecisionLike = _HIGHEST,
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
        index: Position of each query's positive in the rows, or with axis_name in the rows of all
            devices, int [B]. None means that row i of this device is the positive of query i.
        temperature: Divisor of the similarities, above 0.
        mask: Which rows are valid, bool [N]; None means that all are. The positives must be valid.
        axis_name: Name of the mapped device axis, over which the rows are gathered. None uses the
            given rows only, which is right for a memory bank that is equal on all devices.
        precision: Precision of the matrix products.

    Returns:
        Losses [B], at least 0.
    """
    queries, rows = _wide(queries, rows)
    chex.assert_rank([queries, rows], 2)
    chex.assert_equal_shape_suffix([queries, rows], 1)
    if index is None:
        chex.assert_equal_shape([queries, rows])
        index = collectives.row_index(queries.shape[0], axis_name)
    index = jnp.asarray(index)
    chex.assert_shape(index, (queries.shape[0],))
    valid = _valid(mask, (rows.shape[0],))
    rows, valid = collectives.all_gather((rows, valid), axis_name)
    queries = queries / temperature
    positive = jnp.sum(queries * jnp.take(rows, index, axis=0), axis=-1)
    ids = jnp.arange(rows.shape[0], dtype=index.dtype)
    negatives = log_sum_exp.Rows(rows, ids, valid)
    negative = log_sum_exp.over_rows(queries, index, negatives, precision=precision)
    return jax.nn.softplus(negative - positive)


@explicit.automatic(_per_example)
def nce(
    features: ArrayLike,
    positives: ArrayLike,
    negatives: ArrayLike,
    *,
    num_examples: int,
    normalizer: ArrayLike,
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
    features, positives, negatives = _wide(features, positives, negatives)
    chex.assert_rank([features, normalizer], [2, 0])
    chex.assert_equal_shape([features, positives])
    chex.assert_shape(negatives, (features.shape[0], None, features.shape[1]))
    noise = negatives.shape[1] / num_examples  # K times the noise probability of one row
    log_noise = math.log(noise + 1e-7)

    def log_odds(rows):
        """Returns log(P / (noise + eps)), where P and noise are the probabilities of a row."""
        products = jnp.sum(features[:, None] * rows, axis=-1)
        return products / temperature - jnp.log(normalizer) - log_noise

    # -log(P / (P + noise + eps)) and -log(noise / (P + noise + eps)), without exponentials of P.
    positive = jax.nn.softplus(-log_odds(positives[:, None])[:, 0])  # [B]
    negative = jax.nn.softplus(log_odds(negatives)) + (log_noise - math.log(noise))  # [B, K]
    return positive + jnp.sum(negative, axis=1)


def at_least_float32(x: ArrayLike) -> jax.Array:
    """Converts an array to float32, unless it is float64.

    Args:
        x: Array of any shape and numeric dtype.

    Returns:
        The array in float32 or float64.
    """
    x = jnp.asarray(x)
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def _wide(*arrays: ArrayLike) -> list[jax.Array]:
    """Converts all arrays to float32, or all to float64 if any of them is float64."""
    wide = [at_least_float32(x) for x in arrays]
    has_float64 = any(x.dtype == jnp.float64 for x in wide)
    return [x.astype(jnp.float64 if has_float64 else jnp.float32) for x in wide]


def _valid(mask: ArrayLike | None, shape: tuple[int, ...]) -> jax.Array:
    """Returns the mask, or a mask of the given shape that is True everywhere if it is None."""
    valid = jnp.ones(shape, bool) if mask is None else jnp.asarray(mask)
    chex.assert_shape(valid, shape)
    return valid


def _flat(x):
    """Merges the first two axes: [B, V, D] to [B * V, D]."""
    return x.reshape(-1, x.shape[-1])
