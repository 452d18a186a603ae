"""Metrics on disk: one JSON object per line, and optional TensorBoard event files."""

import json
import math
from pathlib import Path
from typing import Self

from byol_jax import errors, workdir
from byol_jax.system import paths


class Writer:
    """A context manager that appends metrics to the file metrics.jsonl in a working directory.

    Each step is one line, a JSON object. A value that is not finite is written as null. Opening the
    file removes lines of later steps than `start_step`: a killed run may have written them after
    its last checkpoint.

    Args:
        folder: Working directory.
        start_step: Step from which the run resumes; 0 for a new run.
        tensorboard: Also write TensorBoard event files to the folder.

    Raises:
        ImportError: If `tensorboard` is True and tensorboardX is not installed.
    """

    def __init__(self, folder: Path, *, start_step: int = 0, tensorboard: bool = False):
        self._events = _event_writer(folder, start_step) if tensorboard else None
        file = Path(folder) / workdir.METRICS
        _remove_later_lines(file, start_step)
        self._file = file.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()
        if self._events is not None:
            self._events.close()

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Writes the metrics of one step and flushes the file.

        Args:
            step: Number of the step.
            metrics: Values by name.
        """
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._file.write(json.dumps({"step": step, **finite}) + "\n")
        self._file.flush()
        if self._events is not None:
            for name, value in metrics.items():
                self._events.add_scalar(name, value, step)


def _remove_later_lines(file: Path, last_step: int) -> None:
    """Removes lines for steps after `last_step`, and an incomplete line that a killed run left."""
    if not file.exists():
        return
    lines = file.read_text(encoding="utf-8").splitlines()
    remaining = [line for line in lines if _parse_step(line) <= last_step]
    paths.write_whole(file, "".join(f"{line}\n" for line in remaining))


def _parse_step(line: str) -> float:
    """Returns the step number of a line of metrics, or infinity if the line is damaged."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


def _event_writer(folder: Path, start_step: int):
    try:
        import tensorboardX
    except ImportError as error:
        purpose = "tensorboard=True needs tensorboardX"
        raise errors.missing_extra("tensorboard", purpose) from error
    return tensorboardX.SummaryWriter(str(folder), purge_step=start_step + 1)
