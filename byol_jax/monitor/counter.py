"""How many of so many are done: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from typing import Self

import rich.console
import rich.progress

_SECONDS = 10.0  # between two lines


class Counter:
    """A context manager; `show` moves the bar of a task, or prints a line where there is none."""

    def __init__(self, *, console: rich.console.Console | None = None):
        self._console = console or rich.console.Console(file=sys.stdout)
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks, self._told = {}, time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception) -> None:
        self._bar.stop()

    def show(self, what: str, done: int, total: int) -> None:
        """`done` of `total` things are done of the task `what`."""
        if self._console.is_terminal:
            if what not in self._tasks:
                self._tasks[what] = self._bar.add_task(what)
            self._bar.update(self._tasks[what], completed=done, total=total)
        elif done == total or time.monotonic() - self._told > _SECONDS:
            self._told = time.monotonic()
            self.tell(f"{what}: {done:,} of {total:,}")

    def tell(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)
