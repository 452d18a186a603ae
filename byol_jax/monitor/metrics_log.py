"""What the training loop tells: the metrics of a step, to disk, to the screen, and as warnings."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import jax

from byol_jax.monitor.alerts import Collapse, Starving
from byol_jax.monitor.heartbeat import Heartbeat
from byol_jax.monitor.metrics_file import Writer
from byol_jax.monitor.progress_bar import Progress


class Log:
    """A context manager: log(step, metrics, waited=seconds) keeps metrics, `flush` tells of them.

    A loop that flushes one step later does not stop until the step is done; leaving flushes too.
    schedules: functions of the steps done, by name, of what was used in the step.
    waited: how long the devices have stood still for input since the run began. silent: (every
    process but one) tell nothing.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        batch_size: int,
        total_steps: int,
        steps_per_epoch: int,
        schedules: Mapping[str, Callable],
        start_step: int = 0,
        tensorboard: bool = False,
        silent: bool = False,
    ):
        self._batch_size, self._total = batch_size, total_steps
        self._steps_per_epoch, self._schedules = steps_per_epoch, schedules
        self._last, self._pending, self._waited = start_step, None, 0.0
        self._watches = (Collapse(), Starving())
        self._writer = self._progress = self._heartbeat = None
        if not silent:
            self._writer = Writer(workdir, start_step=start_step, tensorboard=tensorboard)
            self._progress = Progress(total_steps, start_step=start_step)
            self._heartbeat = Heartbeat(self._progress.tell, step=start_step)

    def __enter__(self) -> Self:
        self._time = time.monotonic()
        if self._progress is not None:
            self._progress.__enter__()
            self._heartbeat.__enter__()
        return self

    def __exit__(self, kind, *exception) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            if self._writer is not None:
                self._heartbeat.__exit__(kind, *exception)
                self._progress.__exit__(kind, *exception)
                self._writer.__exit__(kind, *exception)

    def __call__(self, step: int, metrics: dict[str, jax.Array], *, waited: float) -> None:
        """Keeps a step's metrics, still being computed, and tells of those kept before."""
        self.flush()
        self._pending = step, metrics, waited

    def flush(self) -> None:
        """Tells of the step kept."""
        if self._pending is None:
            return
        (step, metrics, waited), self._pending = self._pending, None
        values = {name: float(value) for name, value in metrics.items()}
        now = time.monotonic()
        elapsed, steps = now - self._time, step - self._last
        values |= {
            "epoch": step / self._steps_per_epoch,
            **{name: float(value(step - 1)) for name, value in self._schedules.items()},
            "images_per_second": self._batch_size * steps / elapsed,
            "data_wait": (waited - self._waited) / elapsed,
            **_host_memory(),
        }
        self._time, self._last, self._waited = now, step, waited
        if self._writer is not None:
            self._tell(step, values, seconds_left=(self._total - step) * elapsed / steps)

    def at(self, step: int) -> None:
        """The step that the devices are at, for the line that tells that the run still goes on."""
        if self._heartbeat is not None:
            self._heartbeat.step = step

    def alert(self, text: str) -> None:
        """Prints a warning."""
        if self._progress is not None:
            self._progress.warn(text)
            self._heartbeat.reset()

    def _tell(self, step, values, *, seconds_left):
        try:
            self._writer.write(step, values)
        except OSError as error:
            self._progress.warn(f"no metrics of step {step} on disk: {error.strerror}.")
        self._heartbeat.reset()
        self._progress.show(step, {**values, "seconds_left": seconds_left})
        for watch in self._watches:
            if warning := watch(step, values):
                self._progress.warn(warning)


def _host_memory() -> dict[str, float]:
    """What this process holds of the host's memory now, in GiB, where the system tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # not Linux
        return {}
    return {"host_gib": pages * os.sysconf("SC_PAGE_SIZE") / 2**30}
