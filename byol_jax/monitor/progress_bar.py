"""The progress of training: a bar on a terminal, and one line per report elsewhere."""

from typing import Self

import rich.console
import rich.progress
import rich.text

_SHOWN = ("loss", "spread", "probe_accuracy", "data_wait")


class Progress:
    """A context manager that shows the step, speed, main metrics and remaining time of training.

    Args:
        total_steps: Number of the last step.
        start_step: Step from which the run resumes; 0 for a new run.
        console: Console to print to; standard output by default.
    """

    def __init__(
        self, total_steps: int, *, start_step: int = 0, console: rich.console.Console | None = None
    ):
        self._console = console or rich.console.Console()
        self._total_steps = total_steps
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
        """Moves the progress bar to a step, or prints a line if the output is not a terminal.

        Args:
            step: Number of the step.
            metrics: Values by name. `images_per_second` and `seconds_left` are required; the loss,
                the spread, the probe's accuracy and the data wait are shown if they exist.
        """
        speed = metrics["images_per_second"]
        parts = [f"{speed:,.0f} images/s"]
        parts += [f"{name} {metrics[name]:.3f}" for name in _SHOWN if name in metrics]
        text = "  ".join(parts)
        self._bar.update(self._task, completed=step, description=text)
        if not self._console.is_terminal:
            minutes_left = metrics["seconds_left"] / 60
            line = f"step {step}/{self._total_steps}  {text}  {minutes_left:.1f} min left"
            self._console.print(line, highlight=False, soft_wrap=True)

    def print_line(self, text: str) -> None:
        """Prints a line above the bar.

        Args:
            text: The line, printed without markup.
        """
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def warn(self, text: str) -> None:
        """Prints a warning above the bar.

        Args:
            text: The warning, printed after "warning:" and without markup.
        """
        line = rich.text.Text.assemble(("warning:", "yellow"), f" {text}")
        self._console.print(line, highlight=False, soft_wrap=True)
