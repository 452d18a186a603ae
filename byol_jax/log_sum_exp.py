"""Log-sum-exp of the inner products of each query with all rows; large matrices are tiled.

A contrastive loss is this value minus the logit of the positive. Up to TILE² logits form one array.
A larger matrix never exists as a whole: the forward pass visits its tiles and keeps a running
maximum and sum for each query (Milakov and Gimelshein 2018, arXiv 1805.02867), and the backward
pass computes the tiles again.
"""

import jax
import jax.numpy as jnp

TILE = 2048  # the most queries, and the most rows, in one tile: 16 MiB of float32 logits


def over_rows(queries: jax.Array, rows: jax.Array, excluded: jax.Array | None = None) -> jax.Array:
    """Computes log(sum_j exp(queries[i] · rows[j])) for every query i.

    Above TILE² logits, memory grows as O((B + N) D), and only reverse-mode differentiation works.
    The forward pass then also computes the gradient with respect to the queries. The gradient with
    respect to the rows takes a second pass, which jit removes if nothing uses that gradient.

    Args:
        queries: Array [B, D].
        rows: Array [N, D].
        excluded: The one row that each query's sum leaves out, int [B]; -1 leaves out none. None
            leaves out no row of any query.

    Returns:
        Array [B].
    """
    if excluded is None:
        excluded = jnp.full(len(queries), -1, jnp.int32)
    if len(queries) * len(rows) > TILE**2:
        return _tiled(queries, rows, excluded)
    numbers = jnp.arange(len(rows), dtype=excluded.dtype)
    left_out = numbers[None, :] == excluded[:, None]
    return jax.nn.logsumexp(jnp.where(left_out, -jnp.inf, queries @ rows.T), axis=1)


@jax.custom_vjp
def _tiled(queries, rows, excluded):
    log_sums, _ = _forward(queries, rows, excluded)
    return log_sums


def _forward(queries, rows, excluded):
    """Returns the log-sum-exp [B] and its gradient with respect to the queries, [B, D].

    The gradient of a query is the mean row, weighted by the softmax.
    """
    row_tiles = (_split(rows), _row_numbers(rows, excluded.dtype))

    def reduce_rows(query_tile):
        queries, excluded = query_tile

        def add(running, row_tile):
            maximum, total, weighted = running  # [t], [t], [t, D]
            some_rows, numbers = row_tile
            left_out = _is_left_out(numbers[None, :], excluded[:, None], len(rows))
            logits = jnp.where(left_out, -jnp.inf, queries @ some_rows.T)  # [t, t]
            new_maximum = jnp.maximum(maximum, jnp.max(logits, axis=1))
            weights = jnp.exp(logits - new_maximum[:, None])
            rescale = jnp.exp(maximum - new_maximum)
            total = rescale * total + jnp.sum(weights, axis=1)
            weighted = rescale[:, None] * weighted + weights @ some_rows
            return (new_maximum, total, weighted), None

        # The lowest finite number, since -inf - -inf would be nan.
        lowest = jnp.full_like(queries[:, 0], jnp.finfo(queries.dtype).min)
        start = (lowest, jnp.zeros_like(lowest), jnp.zeros_like(queries))
        (maximum, total, weighted), _ = jax.lax.scan(add, start, row_tiles)
        return maximum + jnp.log(total), weighted / total[:, None]

    log_sums, means = jax.lax.map(reduce_rows, (_split(queries), _split(excluded)))
    return _join(log_sums, queries), _join(means, queries)


def _tiled_forward(queries, rows, excluded):
    log_sums, means = _forward(queries, rows, excluded)
    return log_sums, (queries, rows, excluded, log_sums, means)


def _tiled_backward(residuals, cotangents):
    queries, rows, excluded, log_sums, means = residuals
    query_tiles = tuple(_split(x) for x in (queries, excluded, log_sums, cotangents))

    def reduce_queries(row_tile):
        some_rows, numbers = row_tile

        def add(total, query_tile):
            queries, excluded, log_sums, cotangents = query_tile
            left_out = _is_left_out(numbers[:, None], excluded[None, :], len(rows))
            # Rows as the first axis: half the time of the transposed product.
            logits = jnp.where(left_out, -jnp.inf, some_rows @ queries.T)
            weights = jnp.exp(logits - log_sums[None, :])
            return total + weights @ (cotangents[:, None] * queries), None

        total, _ = jax.lax.scan(add, jnp.zeros_like(some_rows), query_tiles)
        return total

    row_gradients = jax.lax.map(reduce_queries, (_split(rows), _row_numbers(rows, excluded.dtype)))
    return cotangents[:, None] * means, _join(row_gradients, rows), None


_tiled.defvjp(_tiled_forward, _tiled_backward)


def _is_left_out(numbers, excluded, num_rows):
    """Returns a mask of each query's excluded row and of the padding in the last tile."""
    return (numbers == excluded) | (numbers >= num_rows)


def _split(x):
    """Splits [n, ...] into the fewest tiles of at most TILE rows, equal in size, padded with 0."""
    count = -(-len(x) // TILE)
    size = -(-len(x) // count)
    padding = [(0, count * size - len(x))] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, padding).reshape(count, size, *x.shape[1:])


def _join(tiles, like):
    """Joins tiles into one array, without the padding; the result has the length of `like`."""
    return tiles.reshape(-1, *tiles.shape[2:])[: len(like)]


def _row_numbers(rows, dtype):
    """Returns the index in the original `rows` of every row of the tiles: int [tiles, size]."""
    count, size = _split(rows).shape[:2]
    return jnp.arange(count * size, dtype=dtype).reshape(count, size)
