"""`bench losses`: the memory and the time of the contrastive losses."""

import statistics
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from byol_jax import log_sum_exp, losses
from byol_jax.commands.bench import timing

DIM = 128  # numbers per projection
QUERIES = 4096  # of info_nce
QUEUE = 65536  # keys of info_nce
BATCH = 32768  # images of nt_xent, with two views each
ROUNDS = 3  # of nt_xent, which is too slow for more


def measure() -> dict[str, float]:
    """Measures the time and memory of two tiled contrastive losses, with their gradients.

    The losses are info_nce, MoCo's loss with a queue of 65,536 keys, and nt_xent, SimCLR's loss of
    a batch of 32,768 images. The time of each is compared with the time of only its matrix
    products, computed in the same tiles, in rounds that alternate between the two. Prints the
    results.

    Returns:
        For each loss: "<loss> MiB", the peak memory of this process since its start, less the peak
        when this function was called; "<loss> seconds", the time of one compiled call; and
        "<loss> ratio", its time divided by that of the products, the median over the rounds.
    """
    start = timing.peak_bytes() / 2**20
    results = {}
    loss, arrays = _info_nce(QUERIES, QUEUE)
    # The peak never falls, so each loss runs before its products and the smaller loss runs first.
    results |= _measure_once("info_nce", loss, arrays, start)
    products = _compile(lambda queries, _, rows: _multiply(queries, rows), *arrays)
    results |= _measure_ratio("info_nce", _compile(loss, *arrays), products)
    loss, arrays = make_nt_xent(BATCH)
    results |= _measure_once("nt_xent", loss, arrays, start)
    products = _compile(_nt_xent_products, *arrays)
    return results | _measure_ratio("nt_xent", _compile(loss, *arrays), products, ROUNDS)


def _info_nce(num_queries: int, capacity: int):
    def total(queries, positives, negatives):
        return losses.info_nce(queries, positives, negatives, temperature=0.2).sum()

    return jax.value_and_grad(total), _random_rows(num_queries, num_queries, capacity)


def make_nt_xent(batch_size: int) -> tuple[Callable[..., object], list[jax.Array]]:
    """Makes NT-Xent of two views with its gradients, and its arguments.

    Args:
        batch_size: The number of images B.

    Returns:
        The function, and its two arguments, float32 [B, DIM].
    """

    def total(a, b):
        return losses.nt_xent(a, b, temperature=0.1).sum()

    return jax.value_and_grad(total, argnums=(0, 1)), _random_rows(batch_size, batch_size)


def _random_rows(*sizes: int) -> list[jax.Array]:
    keys = jax.random.split(jax.random.key(0), len(sizes))
    return [
        losses.l2_normalize(jax.random.normal(key, (size, DIM)))
        for key, size in zip(keys, sizes, strict=True)
    ]


def _nt_xent_products(a, b):
    """Computes only the matrix products of nt_xent; their time is a lower bound for the loss.

    The first are those of the value and the queries' gradient, the second those of the rows'
    gradient.
    """
    rows = jnp.concatenate([a, b])
    return _multiply(rows, rows), _multiply(rows, -rows)


def _multiply(queries, rows):
    """Computes (queries @ rows.T) @ rows in tiles."""
    query_tiles = queries.reshape(-1, log_sum_exp.TILE, DIM)
    row_tiles = rows.reshape(-1, log_sum_exp.TILE, DIM)

    def multiply_tile(queries):
        def add(total, rows):
            return total + (queries @ rows.T) @ rows, None

        return jax.lax.scan(add, jnp.zeros_like(queries), row_tiles)[0]

    return jax.lax.map(multiply_tile, query_tiles)


def _compile(function: Callable[..., object], *arrays: jax.Array) -> Callable[[], object]:
    compiled = jax.jit(function).lower(*arrays).compile()
    return lambda: jax.block_until_ready(compiled(*arrays))


def _measure_once(
    name: str, loss: Callable[..., object], arrays: Sequence[jax.Array], start: float
) -> dict[str, float]:
    call = _compile(loss, *arrays)
    begin = time.perf_counter()
    call()
    seconds = time.perf_counter() - begin
    mib = timing.peak_bytes() / 2**20 - start
    sizes = ", ".join(str(list(x.shape)) for x in arrays)
    print(
        f"{name} of {sizes}: {seconds:.1f} s, peak memory {mib:,.0f} MiB above the start",
        flush=True,
    )
    return {f"{name} MiB": mib, f"{name} seconds": seconds}


def _measure_ratio(
    name: str,
    loss: Callable[[], object],
    products: Callable[[], object],
    rounds: int | None = None,
) -> dict[str, float]:
    seconds = timing.alternate({"loss": loss, "products": products}, rounds)
    ratios = sorted(a / b for a, b in zip(seconds["loss"], seconds["products"], strict=True))
    ratio = statistics.median(ratios)
    print(
        f"{name} takes {ratio:.2f} times as long as its matrix products alone "
        f"(median of {len(ratios)} rounds, range {ratios[0]:.2f} to {ratios[-1]:.2f})",
        flush=True,
    )
    return {f"{name} ratio": ratio}
