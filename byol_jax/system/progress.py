"""The interface through which long tasks report their progress."""

from typing import Protocol


class Progress(Protocol):
    """A receiver of progress updates, such as monitor.Counter, which displays them."""

    def show(self, task: str, done: int, total: int) -> None:
        """Reports how many items of a task are finished.

        Args:
            task: Name of the task, such as "reading images".
            done: Number of finished items.
            total: Number of all items of the task.
        """

    def print_line(self, text: str) -> None:
        """Prints a line of text.

        Args:
            text: The line, without a line break at its end.
        """


class NullProgress:
    """A receiver of progress updates that ignores them."""

    def show(self, task: str, done: int, total: int) -> None:
        """Ignores a progress update.

        Args:
            task: Name of the task.
            done: Number of finished items.
            total: Number of all items of the task.
        """

    def print_line(self, text: str) -> None:
        """Ignores a line of text.

        Args:
            text: The line.
        """
