"""The log of a training run: writes metrics to disk and to the screen, and gives alerts."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import jax

from byol_jax.monitor.alerts import Collapse, Starving
from byol_jax.monitor.heartbeat import Heartbeat
from byol_jax.monitor.metrics_file import Writer
from byol_jax.monitor.progress_bar import Progress


class Log:
    """A context manager that records the metrics of a training run.

    `log(step, metrics, waited=seconds)` stores the metrics of a step that the devices may still
    compute; `flush` waits for them and reports them. A loop that flushes one step later therefore
    never waits for the newest step. Leaving the context flushes too.

    Args:
        workdir: Working directory, for the file metrics.jsonl.
        batch_size: Global number of images in a step.
        total_steps: Number of the last step.
        steps_per_epoch: Number of steps in an epoch.
        schedules: Functions by name, from the number of steps done before a step to the value that
            the step uses, such as the learning rate. The log reports their values.
        start_step: Step from which the run resumes; 0 for a new run.
        tensorboard: Also write TensorBoard event files.
        silent: Report nothing. Every process except one is silent.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        batch_size: int,
        total_steps: int,
        steps_per_epoch: int,
        schedules: Mapping[str, Callable[[int], Any]],
        start_step: int = 0,
        tensorboard: bool = False,
        silent: bool = False,
    ):
        self._batch_size = batch_size
        self._total_steps = total_steps
        self._steps_per_epoch = steps_per_epoch
        self._schedules = schedules
        self._pending: _Pending | None = None
        self._last_step = start_step
        self._last_waited = 0.0
        self._last_time = 0.0
        self._output: _Output | None = None
        if not silent:
            self._output = _Output(
                workdir, total_steps=total_steps, start_step=start_step, tensorboard=tensorboard
            )

    def __enter__(self) -> Self:
        self._last_time = time.monotonic()
        if self._output is not None:
            self._output.__enter__()
        return self

    def __exit__(self, kind, *exception) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            if self._output is not None:
                self._output.__exit__(kind, *exception)

    def __call__(self, step: int, metrics: dict[str, jax.Array], *, waited: float) -> None:
        """Stores the metrics of this step, and reports the metrics of the previous call.

        Args:
            step: Number of the step.
            metrics: Scalars by name; the devices may still compute them.
            waited: Seconds that the devices were idle, waiting for data, since the run began.
        """
        self.flush()
        self._pending = _Pending(step, metrics, waited)

    def flush(self) -> None:
        """Waits for the stored metrics to be computed, and reports them, if there are any."""
        if self._pending is None:
            return
        step, metrics, waited = self._pending
        self._pending = None
        # The conversion waits for the devices, so the time is read after it.
        values = {name: float(value) for name, value in metrics.items()}
        now = time.monotonic()
        elapsed = now - self._last_time
        steps = step - self._last_step
        values |= {
            "epoch": step / self._steps_per_epoch,
            **{name: float(schedule(step - 1)) for name, schedule in self._schedules.items()},
            "images_per_second": self._batch_size * steps / elapsed,
            "data_wait": (waited - self._last_waited) / elapsed,
            **_host_memory(),
        }
        self._last_time = now
        self._last_step = step
        self._last_waited = waited
        if self._output is not None:
            seconds_left = (self._total_steps - step) * elapsed / steps
            self._output.report(step, values, seconds_left=seconds_left)

    def at(self, step: int) -> None:
        """Sets the current step, which the heartbeat prints during a long silence.

        Args:
            step: Number of the current step.
        """
        if self._output is not None:
            self._output.heartbeat.step = step

    def alert(self, text: str) -> None:
        """Prints a warning, unless the log is silent.

        Args:
            text: The warning.
        """
        if self._output is not None:
            self._output.progress.warn(text)
            self._output.heartbeat.reset()


class _Pending(NamedTuple):
    """The stored metrics of a step; see Log.__call__."""

    step: int
    metrics: dict[str, jax.Array]
    waited: float


class _Output:
    """The metrics file and the screen output, for the one process that writes them."""

    def __init__(self, workdir: Path, *, total_steps: int, start_step: int, tensorboard: bool):
        self.writer = Writer(workdir, start_step=start_step, tensorboard=tensorboard)
        self.progress = Progress(total_steps, start_step=start_step)
        self.heartbeat = Heartbeat(self.progress.print_line, step=start_step)
        self._alerts = (Collapse(), Starving())

    def __enter__(self) -> Self:
        self.progress.__enter__()
        self.heartbeat.__enter__()
        return self

    def __exit__(self, *exception) -> None:
        # The heartbeat ends first because it prints through the progress display.
        self.heartbeat.__exit__(*exception)
        self.progress.__exit__(*exception)
        self.writer.__exit__(*exception)

    def report(self, step: int, values: dict[str, float], *, seconds_left: float) -> None:
        try:
            self.writer.write(step, values)
        except OSError as error:  # often a full disk, which must not end a long run
            self.progress.warn(
                f"the metrics of step {step} were not written to disk: {error.strerror}. "
                "Training continues."
            )
        self.heartbeat.reset()
        self.progress.show(step, {**values, "seconds_left": seconds_left})
        for alert in self._alerts:
            if warning := alert(step, values):
                self.progress.warn(warning)


def _host_memory() -> dict[str, float]:
    """Returns the host memory that this process uses, in GiB, if the system reports it."""
    try:
        statistics = Path("/proc/self/statm").read_text(encoding="ascii")
    except OSError:  # not Linux
        return {}
    _, resident_pages, *_ = statistics.split()
    return {"host_gib": int(resident_pages) * os.sysconf("SC_PAGE_SIZE") / 2**30}
