"""Metrics on disk: one JSON object a line, and TensorBoard where it is asked for."""

import json
import math
from pathlib import Path
from typing import Self

from byol_jax import errors, workdir
from byol_jax.system import paths


class Writer:
    """Appends to workdir/metrics.jsonl; lines of steps after `start_step` are dropped first.

    tensorboard: write event files too. A value that is not finite is written as null. Raises
    ImportError, naming the extra, when tensorboardX is missing.
    """

    def __init__(self, folder: Path, *, start_step: int = 0, tensorboard: bool = False):
        self._events = _events(folder, start_step) if tensorboard else None
        file = Path(folder) / workdir.METRICS
        _drop_after(file, start_step)
        self._file = file.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()
        if self._events is not None:
            self._events.close()

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Writes the metrics of one step, and hands them to the operating system at once."""
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._file.write(json.dumps({"step": step, **finite}) + "\n")
        self._file.flush()
        if self._events is not None:
            for name, value in metrics.items():
                self._events.add_scalar(name, value, step)


def _drop_after(file: Path, step: int) -> None:
    """A killed run may have written beyond its last checkpoint, its last line half."""
    if not file.exists():
        return
    kept = [line for line in file.read_text(encoding="utf-8").splitlines() if _step(line) <= step]
    paths.write_whole(file, "".join(f"{line}\n" for line in kept))


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


def _events(folder: Path, start_step: int):
    try:
        import tensorboardX
    except ImportError as error:
        purpose = "tensorboard=True needs tensorboardX"
        raise errors.missing_extra("tensorboard", purpose) from error
    return tensorboardX.SummaryWriter(str(folder), purge_step=start_step + 1)
