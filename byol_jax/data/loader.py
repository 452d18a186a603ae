"""Batches that depend only on the seed and the step, not on processes or workers."""

from collections.abc import Iterator
from typing import Any, Protocol

import grain
import numpy as np
from absl import flags

from byol_jax import errors

# grain adds the epoch to the seed; multiplied seeds keep the epochs of two runs apart.
_SEED_STRIDE = 1_000_003


class Take(Protocol):
    """A function that reads the examples of one step."""

    def __call__(self, index: np.ndarray, step: int, row: np.ndarray) -> dict[str, np.ndarray]:
        """Reads examples.

        Args:
            index: Numbers of the examples in the data set, int32 [B].
            step: Number of the step, counted from 0.
            row: Positions of the examples in the global batch, int32 [B].

        Returns:
            Arrays [B, ...] by name.
        """
        ...


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
    """Returns an endless iterator over the batches of this process.

    Every epoch has a new random order, and omits the last examples if they do not fill a batch. The
    contents of a step do not depend on workers, processes or restarts. Close the iterator to stop
    the workers.

    Args:
        take: Reads the examples of a step.
        num_examples: Number of examples in the data set.
        batch_size: Size of the global batch; each process reads B = batch_size / process_count.
        seed: Seed of the order.
        start_step: The first step.
        process_index: Number of this process.
        process_count: Number of processes.
        num_workers: Number of worker processes that read ahead; 0 reads in threads of this process.
        num_threads: Number of threads per worker.

    Returns:
        The iterator; a batch is what `take` returns.

    Raises:
        UserError: The batch is larger than the data set, or cannot be divided over the processes.
    """
    _check_batch_size(batch_size, num_examples, process_count)
    per_process = batch_size // process_count
    usable = num_examples // batch_size * batch_size
    order = grain.MapDataset.range(num_examples).shuffle(seed=seed * _SEED_STRIDE % 2**32)
    parts = order[:usable].repeat().batch(per_process)

    def read(number, index):
        step, process = divmod(number, process_count)
        row = process * per_process + np.arange(per_process, dtype=np.int32)
        return take(np.asarray(index, np.int32), step, row)

    if num_workers and not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain's workers read absl flags, which only absl.app parses
    own_parts: Any = parts.map_with_index(read)[
        start_step * process_count + process_index :: process_count
    ]
    threads = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=2 * num_threads)
    workers = grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=2)
    return iter(own_parts.to_iter_dataset(threads).mp_prefetch(workers))


def _check_batch_size(batch_size: int, num_examples: int, process_count: int) -> None:
    if batch_size > num_examples:
        raise errors.UserError(
            f"batch_size ({batch_size}) is larger than the data set of {num_examples} examples; "
            "choose a smaller batch_size."
        )
    if batch_size % process_count:
        nearest = max(batch_size // process_count, 1) * process_count
        raise errors.UserError(
            f"batch_size ({batch_size}) must be a multiple of the number of processes "
            f"({process_count}); try {nearest}."
        )
