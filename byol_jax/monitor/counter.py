"""A progress counter for commands: a bar on a terminal, and occasional lines elsewhere."""

import sys
import time
from typing import Self

import rich.console
import rich.progress

_SECONDS = 10.0  # between two lines


class Counter:
    """A context manager that shows how many items of each task are done.

    On a terminal, each task has a progress bar. Elsewhere, a line is printed about every 10 seconds
    and when a task is complete.

    Args:
        console: Console to print to; standard output by default.
    """

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
        self._tasks: dict[str, rich.progress.TaskID] = {}
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception) -> None:
        self._bar.stop()

    def show(self, task: str, done: int, total: int) -> None:
        """Shows the progress of a task: moves its bar, or prints a line if one is due.

        Args:
            task: Name of the task, such as "reading images".
            done: Number of items that are done.
            total: Number of all items of the task.
        """
        if self._console.is_terminal:
            if task not in self._tasks:
                self._tasks[task] = self._bar.add_task(task)
            self._bar.update(self._tasks[task], completed=done, total=total)
        elif done == total or time.monotonic() - self._last_line > _SECONDS:
            self._last_line = time.monotonic()
            self.print_line(f"{task}: {done:,} of {total:,}")

    def print_line(self, text: str) -> None:
        """Prints a line, above the bars if there are any.

        Args:
            text: The line, printed without markup.
        """
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)
