"""What the contrastive losses cost beside their products: python -m byol_jax bench losses."""

import statistics
import time

import jax
import jax.numpy as jnp

from byol_jax import log_sum_exp, losses
from byol_jax.commands.bench import timing

DIM = 128
QUERIES, QUEUE = 4096, 65536  # of info_nce
BATCH = 32768  # rows of each view of nt_xent
ROUNDS = 3  # of nt_xent, a call of which takes long enough


def measure() -> dict[str, float]:
    """The memory and time of losses in tiles, with gradients: MoCo's of a queue, SimCLR's of a batch.

    Prints and returns of each loss "<loss> MiB", the peak memory of this process above that at the
    start, which counts all that was done before it; "<loss> seconds" of one compiled call; and
    "<loss> ratio", its time over that of its matrix products alone, in the same tiles: the median
    over rounds that alternate between the two.
    """
    found, start = {}, timing.peak_bytes() / 2**20
    loss, arrays = _info_nce(QUERIES, QUEUE)
    found |= _once("info_nce", loss, arrays, start)
    products = _compile(lambda queries, _, rows: _by_rows(queries, rows), *arrays)
    found |= _ratio("info_nce", _compile(loss, *arrays), products)
    loss, arrays = _nt_xent(BATCH)
    found |= _once("nt_xent", loss, arrays, start)
    products = _compile(_both_ways, *arrays)
    return found | _ratio("nt_xent", _compile(loss, *arrays), products, ROUNDS)


def _info_nce(num_queries, capacity):
    def total(queries, positives, negatives):
        return losses.info_nce(queries, positives, negatives, temperature=0.2).sum()

    return jax.value_and_grad(total), _rows(num_queries, num_queries, capacity)


def _nt_xent(batch):
    def total(a, b):
        return losses.nt_xent(a, b, temperature=0.1).sum()

    return jax.value_and_grad(total, argnums=(0, 1)), _rows(batch, batch)


def _rows(*sizes):
    keys = jax.random.split(jax.random.key(0), len(sizes))
    return [
        losses.l2_normalize(jax.random.normal(key, (size, DIM)))
        for key, size in zip(keys, sizes, strict=True)
    ]


def _both_ways(a, b):
    """The products of nt_xent: those of its value and the queries' gradient, then the rows'."""
    rows = jnp.concatenate([a, b])
    return _by_rows(rows, rows), _by_rows(rows, -rows)


def _by_rows(queries, rows):
    """(queries @ rows.T) @ rows, by tiles."""
    queries, rows = (x.reshape(-1, log_sum_exp.TILE, DIM) for x in (queries, rows))

    def of_queries(queries):
        def add(total, rows):
            return total + (queries @ rows.T) @ rows, None

        return jax.lax.scan(add, jnp.zeros_like(queries), rows)[0]

    return jax.lax.map(of_queries, queries)


def _compile(function, *arrays):
    compiled = jax.jit(function).lower(*arrays).compile()
    return lambda: jax.block_until_ready(compiled(*arrays))


def _once(name, loss, arrays, start):
    call = _compile(loss, *arrays)
    begin = time.perf_counter()
    call()
    seconds, mib = time.perf_counter() - begin, timing.peak_bytes() / 2**20 - start
    sizes = ", ".join(str(list(x.shape)) for x in arrays)
    print(f"{name} of {sizes}: {seconds:.1f} s, peak {mib:,.0f} MiB above the start", flush=True)
    return {f"{name} MiB": mib, f"{name} seconds": seconds}


def _ratio(name, loss, products, rounds=None):
    seconds = timing.alternate({"loss": loss, "products": products}, rounds)
    ratios = sorted(a / b for a, b in zip(seconds["loss"], seconds["products"], strict=True))
    ratio = statistics.median(ratios)
    print(
        f"{name} takes {ratio:.2f} times its products alone, median of {len(ratios)} rounds, "
        f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
        flush=True,
    )
    return {f"{name} ratio": ratio}
