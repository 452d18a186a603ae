"""Batches that depend on the seed and the step alone, for any number of processes and workers."""

from collections.abc import Callable, Iterator

import grain
import numpy as np
from absl import flags

from byol_jax import errors

_SEED_STRIDE = 1_000_003  # grain adds the epoch to the seed: seeds apart, so that no two runs meet

Take = Callable[[np.ndarray, int, np.ndarray], dict[str, np.ndarray]]


def batches(
    take: Take,
    *,
    num_examples: int,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    num_workers: int = 0,
    num_threads: int = 2,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields the batches of steps start_step, start_step + 1, … without end.

    take(index [B], step, row [B]) reads the examples of a step: index says which of num_examples,
        int32, row their global numbers in the step; B is batch_size / process_count.
    num_workers: processes that read ahead, each with num_threads; 0 reads in threads of this one.

    Every epoch has a new order and leaves out its last examples, fewer than a batch. Neither
    workers nor processes nor a restart change what a step gets. Close the iterator to stop workers.

    Raises ValueError when the batch is larger than the data or does not divide over the processes.
    """
    if batch_size > num_examples:
        raise errors.UserError(
            f"batch_size ({batch_size}) is larger than the {num_examples} examples; choose a "
            "smaller one."
        )
    if batch_size % process_count:
        raise errors.UserError(
            f"batch_size ({batch_size}) must divide evenly over {process_count} processes; "
            f"try {max(batch_size // process_count, 1) * process_count}."
        )
    per_process = batch_size // process_count
    usable = num_examples // batch_size * batch_size
    order = grain.MapDataset.range(num_examples).shuffle(seed=seed * _SEED_STRIDE % 2**32)
    parts = order[:usable].repeat().batch(per_process)

    def read(number, index):
        step, process = divmod(number, process_count)
        rows = process * per_process + np.arange(per_process, dtype=np.int32)
        return take(np.asarray(index, np.int32), step, rows)

    if num_workers and not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain's workers read flags, which only absl's app parses
    mine = parts.map_with_index(read)[start_step * process_count + process_index :: process_count]
    threads = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=2 * num_threads)
    workers = grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=2)
    return iter(mine.to_iter_dataset(threads).mp_prefetch(workers))
