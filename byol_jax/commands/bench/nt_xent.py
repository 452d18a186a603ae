"""`bench nt_xent`: SimCLR's loss at growing batch sizes, in tiles and as one matrix."""

import contextlib
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import jax

from byol_jax import log_sum_exp
from byol_jax.commands.bench import losses, timing

BATCHES = (512, 1024, 2048, 4096, 8192, 16384, 32768)
ROUNDS = 3
_MOST_BYTES = 8 * 2**30  # of a matrix of logits to try
_MOST_SECONDS = 0.5  # of a call; larger batches are left out


def measure() -> dict[str, dict[str, float]]:
    """Measures NT-Xent of two views with its gradient, in tiles and as one matrix of logits.

    The two run in rounds that alternate between them. A matrix of more than 8 GiB is not tried, and
    the batch size grows until a call takes half a second. Prints a table.

    Returns:
        For each batch size, "tiles" and "matrix", seconds; and "tiles MiB" and "matrix MiB", the
        temporary memory of the compiled program.
    """
    print(f"{'batch':>8} {'tiles':>10} {'matrix':>10} {'tiles':>12} {'matrix':>12}")
    results = {}
    for batch_size in BATCHES:
        results[str(batch_size)] = row = _measure(batch_size)
        cells = [
            f"{1e3 * row['tiles']:7,.1f} ms",
            f"{1e3 * row['matrix']:7,.1f} ms" if "matrix" in row else "",
            f"{row['tiles MiB']:8,.0f} MiB",
            f"{row['matrix MiB']:8,.0f} MiB" if "matrix" in row else "",
        ]
        print(
            f"{batch_size:8,} {cells[0]:>10} {cells[1]:>10} {cells[2]:>12} {cells[3]:>12}",
            flush=True,
        )
        if row["tiles"] > _MOST_SECONDS:
            break
    return results


def _measure(batch_size: int) -> dict[str, float]:
    loss, arrays = losses.make_nt_xent(batch_size)
    programs = {"tiles": _compile(loss, arrays, log_sum_exp.TILE)}
    if 4 * (2 * batch_size) ** 2 <= _MOST_BYTES:
        programs["matrix"] = _compile(loss, arrays, 2 * batch_size)
    calls: dict[str, Callable[[], object]] = {
        name: lambda program=program: jax.block_until_ready(program(*arrays))
        for name, program in programs.items()
    }
    row = {
        name: statistics.median(seconds)
        for name, seconds in timing.alternate(calls, ROUNDS).items()
    }
    for name, program in programs.items():
        row[f"{name} MiB"] = program.memory_analysis().temp_size_in_bytes / 2**20
    return row


def _compile(loss: Callable[..., object], arrays: list[jax.Array], tile: int) -> Any:
    with _tiles_of(tile):
        # A new function: jit would reuse the program of the other tiles.
        return jax.jit(lambda *xs: loss(*xs)).lower(*arrays).compile()


@contextlib.contextmanager
def _tiles_of(size: int) -> Iterator[None]:
    before = log_sum_exp.TILE
    log_sum_exp.TILE = size
    try:
        yield
    finally:
        log_sum_exp.TILE = before
