"""Places batches on the devices before they are needed, and measures how long the devices wait."""

import concurrent.futures
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import jax
import numpy as np


class Prefetch:
    """Reads the next batch and places it on the devices while they compute; a context manager.

    Args:
        batches: Iterator over batches on the host, pytrees of arrays.
        place: Places a batch on the devices.

    Attributes:
        waited: Seconds in which the devices were idle, waiting for data.
    """

    def __init__(self, batches: Iterator[Any], place: Callable[[Any], Any]):
        self._batches = batches
        self._place = place
        self.waited = 0.0
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "prefetch")
        self._next_batch = self._thread.submit(self._load)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
        del self._next_batch  # releases the arrays
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()

    def _load(self):
        # Copied: a worker reuses its memory, and a CPU device may keep a reference to the array.
        return self._place(jax.tree.map(np.array, next(self._batches)))

    def next(self, running: Any) -> Any:
        """Returns the next batch.

        Args:
            running: Results of the step that the devices are computing. If the batch is not ready,
                the waiting time counts from the end of that step.

        Returns:
            The batch on the devices.
        """
        if not self._next_batch.done():
            # The devices are not idle before the running step ends.
            jax.block_until_ready(running)
            start = time.monotonic()
            concurrent.futures.wait([self._next_batch])
            self.waited += time.monotonic() - start
        batch = self._next_batch.result()
        self._next_batch = self._thread.submit(self._load)
        return batch
