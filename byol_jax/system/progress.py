"""The protocol by which long work reports how far it is."""

from typing import Protocol


class Progress(Protocol):
    """Receives progress updates; monitor.Counter shows them."""

    def show(self, what: str, done: int, total: int) -> None:
        """`done` of `total` items of the task `what` are done."""

    def tell(self, text: str) -> None:
        """Prints a line."""


class NullProgress:
    """Discards progress updates."""

    def show(self, what: str, done: int, total: int) -> None:
        """Does nothing."""

    def tell(self, text: str) -> None:
        """Does nothing."""
