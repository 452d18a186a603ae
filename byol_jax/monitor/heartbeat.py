"""A line now and then where nothing else is printed, so that a long silence is not a dead run."""

import threading
import time
from collections.abc import Callable
from typing import Self

SECONDS = 60.0


class Heartbeat:
    """A context manager that calls tell(text) after each SECONDS in which nothing was told.

    step: the one that the run is at; set it.
    """

    def __init__(self, tell: Callable[[str], None], *, step: int):
        self._tell, self.step = tell, step
        self._last, self._ended = time.perf_counter(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._ended.set()
        self._thread.join()

    def reset(self) -> None:
        """Something has been printed just now."""
        self._last = time.perf_counter()

    def _run(self):
        said = self.step
        while not self._ended.wait(SECONDS / 10):
            if time.perf_counter() - self._last < SECONDS:
                continue
            since = "" if self.step != said else ", as before"
            self._tell(f"at step {self.step}{since}")
            said = self.step
            self.reset()
