"""How far a run is: a bar on a terminal, a line at each report elsewhere."""

from typing import Self

import rich.console
import rich.progress
import rich.text

_SHOWN = ("loss", "spread", "probe_accuracy", "data_wait")


class Progress:
    """A context manager; `show` moves the bar, or prints a line where output is not a terminal."""

    def __init__(
        self, total_steps: int, *, start_step: int = 0, console: rich.console.Console | None = None
    ):
        self._console = console or rich.console.Console()
        self._total = total_steps
        self._bar = rich.progress.Progress(
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.description}"),
            rich.progress.TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("compiling", total=total_steps, completed=start_step)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception) -> None:
        self._bar.stop()

    def show(self, step: int, metrics: dict[str, float]) -> None:
        """Shows images/s, loss, spread and the time left; metrics has `images_per_second`."""
        speed = metrics["images_per_second"]
        parts = [f"{speed:,.0f} images/s"]
        parts += [f"{name} {metrics[name]:.3f}" for name in _SHOWN if name in metrics]
        text = "  ".join(parts)
        self._bar.update(self._task, completed=step, description=text)
        if not self._console.is_terminal:
            left = metrics["seconds_left"]
            line = f"step {step}/{self._total}  {text}  {left / 60:.1f} min left"
            self._console.print(line, highlight=False, soft_wrap=True)

    def tell(self, text: str) -> None:
        """Prints a line above the bar."""
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def warn(self, text: str) -> None:
        """Prints a warning above the bar."""
        told = rich.text.Text.assemble(("warning:", "yellow"), f" {text}")
        self._console.print(told, highlight=False, soft_wrap=True)
