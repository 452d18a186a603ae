"""The log-sum-exp of inner products with many rows, by tiles of the logits.

All contrastive losses are this number minus the logit of the positive. Up to one tile the logits
are one array. Beyond it they are never held together: tiles of them pass by, each with a running
maximum and sum (Milakov and Gimelshein 2018, arXiv 1805.02867), and once more for the gradient.
"""

import jax
import jax.numpy as jnp

TILE = 2048  # queries and rows to a side: 16 MiB of float32 logits


def over_rows(queries: jax.Array, rows: jax.Array, excluded: jax.Array | None = None) -> jax.Array:
    """log sum_j exp(queries[i] · rows[j]) of queries [B, D] and rows [N, D]: [B].

    excluded: int [B], the number of the one row that query i leaves out; -1 is none.

    Memory is O((B + N) D) beyond B N = TILE² logits; there only reverse-mode gradients exist. Those
    of the queries cost no second pass, and those of the rows nothing where nobody asks for them.
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
    return _forward(queries, rows, excluded)[0]


def _forward(queries, rows, excluded):
    """The log-sum-exp [B], and its gradient by the query, [B, D]: the mean row under the softmax."""
    tiles = _cut(rows), _numbers(rows, excluded.dtype)

    def of_queries(part):
        queries, excluded = part

        def add(running, tile):
            highest, total, weighted = running  # [t], [t], [t, D]
            some, numbers = tile
            left_out = _left_out(numbers[None, :], excluded[:, None], len(rows))
            logits = jnp.where(left_out, -jnp.inf, queries @ some.T)  # [t, t]
            higher = jnp.maximum(highest, jnp.max(logits, axis=1))
            weights = jnp.exp(logits - higher[:, None])
            keep = jnp.exp(highest - higher)
            total = keep * total + jnp.sum(weights, axis=1)
            return (higher, total, keep[:, None] * weighted + weights @ some), None

        lowest = jnp.full_like(queries[:, 0], jnp.finfo(queries.dtype).min)  # -inf would give nan
        start = (lowest, jnp.zeros_like(lowest), jnp.zeros_like(queries))
        (highest, total, weighted), _ = jax.lax.scan(add, start, tiles)
        return highest + jnp.log(total), weighted / total[:, None]

    log_sums, means = jax.lax.map(of_queries, (_cut(queries), _cut(excluded)))
    return _join(log_sums, queries), _join(means, queries)


def _tiled_forward(queries, rows, excluded):
    log_sums, means = _forward(queries, rows, excluded)
    return log_sums, (queries, rows, excluded, log_sums, means)


def _tiled_backward(kept, cotangents):
    queries, rows, excluded, log_sums, means = kept
    parts = tuple(_cut(x) for x in (queries, excluded, log_sums, cotangents))

    def of_rows(tile):
        some, numbers = tile

        def add(total, part):
            queries, excluded, log_sums, cotangents = part
            left_out = _left_out(numbers[:, None], excluded[None, :], len(rows))
            logits = jnp.where(left_out, -jnp.inf, some @ queries.T)  # rows first: half the time
            weights = jnp.exp(logits - log_sums[None, :])
            return total + weights @ (cotangents[:, None] * queries), None

        return jax.lax.scan(add, jnp.zeros_like(some), parts)[0]

    by_rows = jax.lax.map(of_rows, (_cut(rows), _numbers(rows, excluded.dtype)))
    return cotangents[:, None] * means, _join(by_rows, rows), None


_tiled.defvjp(_tiled_forward, _tiled_backward)


def _left_out(numbers, excluded, count):
    """Whether a row is the query's excluded one, or only fills the last tile."""
    return (numbers == excluded) | (numbers >= count)


def _cut(x):
    """[n, ...] as the fewest tiles, of equal size and at most TILE, with zeros at the end."""
    count = -(-len(x) // TILE)
    size = -(-len(x) // count)
    padding = [(0, count * size - len(x))] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, padding).reshape(count, size, *x.shape[1:])


def _join(tiles, like):
    return tiles.reshape(-1, *tiles.shape[2:])[: len(like)]


def _numbers(rows, dtype):
    shape = _cut(rows).shape[:2]
    return jnp.arange(shape[0] * shape[1], dtype=dtype).reshape(shape)
