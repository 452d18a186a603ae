"""Batches that depend on the seed and the step alone, for any number of processes."""

from collections.abc import Iterator

import grain
import numpy as np

from byol_jax.data.source import Source

_SEED_STRIDE = 1_000_003  # grain adds the epoch to the seed: seeds apart, so that no two runs meet


def batches(
    source: Source,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    num_threads: int = 2,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields the batches of steps start_step, start_step + 1, … without end.

    Leaves are this process's consecutive batch_size / process_count rows of the global batch: image
    uint8 or uint16 [B, H, W, C], index int32 [B], label int32 [B] where there is one. Every epoch
    has a new order and leaves out its last examples, fewer than a batch.

    Raises ValueError when the batch is larger than the data or does not divide over the processes.
    """
    if batch_size > len(source):
        raise ValueError(
            f"batch_size ({batch_size}) is larger than the {len(source)} examples of "
            f"{source.name!r} {source.split!r}; choose a smaller one."
        )
    if batch_size % process_count:
        raise ValueError(
            f"batch_size ({batch_size}) must divide evenly over {process_count} processes; "
            f"try {max(batch_size // process_count, 1) * process_count}."
        )
    usable = len(source) // batch_size * batch_size
    order = grain.MapDataset.range(len(source)).shuffle(seed=seed * _SEED_STRIDE % 2**32)
    rows = order[:usable].repeat().batch(batch_size // process_count)
    mine = rows[start_step * process_count + process_index :: process_count]
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=2 * num_threads)
    return iter(mine.map(source.take).to_iter_dataset(options))
