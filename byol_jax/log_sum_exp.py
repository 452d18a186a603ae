"""Log-sum-exp of the inner products of query vectors with row vectors, in tiles if there are many.

A contrastive loss is softplus(log-sum-exp over the negatives - logit of the positive). Up to TILE²
logits form one array. A larger matrix never exists as a whole: the forward pass visits its tiles
and keeps a running maximum and sum for each query (Milakov and Gimelshein 2018, arXiv 1805.02867),
and the backward pass computes the tiles again.

If jit shards the queries over several devices, each device computes the tiles of its own queries.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from byol_jax import collectives

TILE = 2048  # the most queries, and the most rows, in one tile: 16 MiB of float32 logits


class Rows(NamedTuple):
    """The rows over which to sum.

    Attributes:
        values: The rows, [N, D].
        ids: An integer per row, [N]. A query's sum leaves out the rows with the query's own id.
        valid: Which rows to include in any sum, bool [N].
    """

    values: jax.Array
    ids: jax.Array
    valid: jax.Array


def over_rows(
    queries: jax.Array,
    query_ids: jax.Array,
    rows: Rows,
    *,
    precision: jax.lax.PrecisionLike = jax.lax.Precision.HIGHEST,
) -> jax.Array:
    """Computes log(sum_j exp(queries[i] · rows[j])) for every query i, over a part of the rows.

    Above TILE² logits, memory grows as O((B + N) D), and only reverse-mode differentiation works.
    The forward pass then also computes the gradient with respect to the queries. The gradient with
    respect to the rows takes a second pass, which jit removes if nothing uses that gradient.

    Args:
        queries: Array [B, D].
        query_ids: An integer per query, [B]; see Rows.ids.
        rows: The rows, [N, D].
        precision: Precision of the matrix products; see jax.lax.Precision.

    Returns:
        Array [B]. A query without any row has a value below -1e37 instead of minus infinity;
        softplus of that value is 0, and so is its gradient.
    """
    num_queries = queries.shape[0]
    num_rows = rows.values.shape[0]
    # A symbolic number of examples (jax.export) cannot be divided into tiles.
    known = isinstance(num_queries, int) and isinstance(num_rows, int)
    if known and num_queries * num_rows > TILE**2:
        return _tiled(*collectives.vary_alike((queries, query_ids, rows)), precision)
    return jax.nn.logsumexp(_logits(queries, query_ids, rows, precision), axis=1)


def _logits(queries, query_ids, rows: Rows, precision):
    """Returns the logits [B, N], with a very low value for each row that a sum leaves out."""
    products = jnp.matmul(queries, rows.values.T, precision=precision)
    return jnp.where(_left_out(query_ids, rows).T, lowest(queries), products)


def _left_out(query_ids, rows: Rows):
    """Returns which rows the sum of each query leaves out, bool [N, B]."""
    return (rows.ids[:, None] == query_ids[None, :]) | ~rows.valid[:, None]


def lowest(x: jax.Array) -> jax.Array:
    """Returns a finite logit that is so low that its exponential is 0.

    A logit of minus infinity would give nan, as the difference of two infinities.

    Args:
        x: An array of the dtype in which to return the logit.

    Returns:
        A scalar.
    """
    return jnp.asarray(jnp.finfo(x.dtype).min / 2, x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _tiled(queries, query_ids, rows: Rows, precision):
    log_sums, _ = _forward(queries, query_ids, rows, precision)
    return log_sums


def _forward(queries, query_ids, rows: Rows, precision):
    """Returns the log-sum-exp of each query's logits, [B], and its gradient [B, D].

    The gradient of a query is the mean row, weighted by the softmax.
    """
    row_tiles = jax.tree.map(lambda x: _split(x, TILE), rows)

    def reduce_rows(tile_and_ids):
        queries, query_ids = tile_and_ids

        def add(running, row_tile):
            maximum, total, weighted = running  # [t], [t], [t, D]
            logits = _logits(queries, query_ids, row_tile, precision)  # [t, t]
            new_maximum = jnp.maximum(maximum, jnp.max(logits, axis=1))
            weights = jnp.exp(logits - new_maximum[:, None])
            rescale = jnp.exp(maximum - new_maximum)
            total = rescale * total + jnp.sum(weights, axis=1)
            products = jnp.matmul(weights, row_tile.values, precision=precision)
            return (new_maximum, total, rescale[:, None] * weighted + products), None

        no_maximum = jnp.full_like(queries[:, 0], lowest(queries))
        start = (no_maximum, jnp.zeros_like(no_maximum), jnp.zeros_like(queries))
        start, _ = collectives.vary_alike((start, queries))
        (maximum, total, weighted), _ = jax.lax.scan(add, start, row_tiles)
        return maximum + jnp.log(total), weighted / total[:, None]

    tiles = (_interleave(queries), _interleave(query_ids))
    log_sums, means = jax.lax.map(reduce_rows, tiles)
    return _deinterleave(log_sums, queries), _deinterleave(means, queries)


def _tiled_forward(queries, query_ids, rows: Rows, precision):
    log_sums, means = _forward(queries, query_ids, rows, precision)
    return log_sums, (queries, query_ids, rows, log_sums, means)


def _tiled_backward(precision, residuals, cotangents):
    queries, query_ids, rows, log_sums, means = residuals
    scaled = cotangents[:, None] * queries

    def pull_back(row_tile):
        # Rows as the first axis: half the time of the transposed product.
        products = jnp.matmul(row_tile.values, queries.T, precision=precision)  # [t, B]
        logits = jnp.where(_left_out(query_ids, row_tile), lowest(queries), products)
        weights = jnp.exp(logits - log_sums[None, :])
        return jnp.matmul(weights, scaled, precision=precision)

    # All queries at once, in tiles of fewer rows: sharded queries are summed once per row.
    size = max(TILE**2 // queries.shape[0], TILE // 8, 1)
    row_gradients = jax.lax.map(pull_back, jax.tree.map(lambda x: _split(x, size), rows))
    row_gradients = row_gradients.reshape(-1, *row_gradients.shape[2:])[: rows.values.shape[0]]
    return (
        cotangents[:, None] * means,
        None,
        rows._replace(values=row_gradients, ids=None, valid=None),
    )


_tiled.defvjp(_tiled_forward, _tiled_backward)


def _split(x, most):
    """Splits [N, ...] into as few equal tiles of up to `most` rows as possible; pads with 0.

    The padding has valid=False.
    """
    padded, count = _pad(x, most)
    return padded.reshape(count, -1, *x.shape[1:])


def _interleave(x):
    """Splits like _split, but deals out the rows: tile i of `count` gets the rows i, i + count, ...

    If x is sharded, each tile then contains rows of every device.
    """
    padded, count = _pad(x, TILE)
    return jnp.moveaxis(padded.reshape(-1, count, *x.shape[1:]), 1, 0)


def _pad(x, most):
    """Pads the first axis for the fewest equal tiles of up to `most` rows; returns their number."""
    count = -(-x.shape[0] // most)
    size = -(-x.shape[0] // count)
    padding = [(0, count * size - x.shape[0])] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, padding), count


def _deinterleave(tiles, like):
    """Reverses _interleave; drops the padding."""
    joined = jnp.moveaxis(tiles, 0, 1).reshape(-1, *tiles.shape[2:])
    return joined[: like.shape[0]]
