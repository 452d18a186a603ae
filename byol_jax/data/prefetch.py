"""Batches on their devices before they are needed, and how long the devices waited for them."""

import concurrent.futures
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import chex
import jax
import numpy as np


class Prefetch:
    """A context manager; next(running) gives the next batch, placed while the devices work.

    place: puts a batch of the host on the devices.  waited: seconds in which the devices stood
    still for want of a batch, so far.
    """

    def __init__(self, batches: Iterator[Any], place: Callable[[Any], chex.ArrayTree]):
        self._batches, self._place, self.waited = batches, place, 0.0
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "prefetch")
        self._coming = self._thread.submit(self._load)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._coming = None
        if hasattr(self._batches, "close"):
            self._batches.close()

    def _load(self):
        # Copied, for a worker wants its memory back, and a device may hold on to what it was given.
        return self._place(jax.tree.map(np.array, next(self._batches)))

    def next(self, running: chex.ArrayTree) -> chex.ArrayTree:
        """The next batch; `running` are results of the step that the devices are at.

        Where the batch is not there yet, the wait counts from the moment at which that step is
        done.
        """
        if not self._coming.done():
            jax.block_until_ready(running)
            start = time.monotonic()
            concurrent.futures.wait([self._coming])
            self.waited += time.monotonic() - start
        batch = self._coming.result()
        self._coming = self._thread.submit(self._load)
        return batch
