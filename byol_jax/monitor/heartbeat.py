"""Lines that a run prints while nothing else is printed, to show that it is still alive."""

import threading
import time
from collections.abc import Callable
from typing import Self

SECONDS = 60.0


class Heartbeat:
    """A context manager that prints the current step if nothing else was printed for SECONDS.

    The line shows that a run with long steps still works, and whether it has reached a new step.

    Args:
        print_line: Function that prints a line. A background thread calls it.
        step: First value of the attribute `step`.

    Attributes:
        step: Number of the current step. The caller sets it as the run proceeds.
    """

    def __init__(self, print_line: Callable[[str], None], *, step: int):
        self._print_line = print_line
        self.step = step
        self._last_line = time.perf_counter()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._ended.set()
        self._thread.join()

    def reset(self) -> None:
        """Resets the timer; call it whenever something else is printed."""
        self._last_line = time.perf_counter()

    def _run(self):
        last_step = self.step
        while not self._ended.wait(SECONDS / 10):
            if time.perf_counter() - self._last_line < SECONDS:
                continue
            prefix = "at" if self.step != last_step else "still at"
            self._print_line(f"{prefix} step {self.step}")
            last_step = self.step
            self.reset()
