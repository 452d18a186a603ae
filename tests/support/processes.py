"""The command `train` in processes of its own, which are one run, and may be killed."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
CONFIG = HERE / "tiny.py"
_TIMED = ("images_per_second", "data_wait", "host_gib")  # fields of metrics.jsonl


def free_port() -> int:
    """A port that is free now, below those that the system gives to clients."""
    while True:
        port = random.randrange(20000, 30000)
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            return port


def place(port: int, count: int, process: int, *, timeout: int = 60) -> tuple[str, ...]:
    """The flags of one of several processes."""
    names = {"num_processes": count, "process_id": process, "timeout": timeout}
    flags = [f"--{name}={value}" for name, value in names.items()]
    return (f"--coordinator=127.0.0.1:{port}", *flags)


class Processes:
    """A context manager: one process per entry of `flags`, beside those of tiny.py and a workdir.

    What they print goes to log_0.txt, … in `logs`. Those that still live at the end are killed.
    """

    def __init__(self, workdir, flags, *, logs, cache, program=("-m", "byol_jax")):
        self.logs = [Path(logs) / f"log_{number}.txt" for number in range(len(flags))]
        common = ("train", f"--config={CONFIG}", f"--workdir={workdir}")
        commands = [[sys.executable, *program, *common, *own] for own in flags]
        self.all = [
            _start(words, log, cache) for words, log in zip(commands, self.logs, strict=True)
        ]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for process in self.all:
            if process.poll() is None:
                process.kill()
            process.wait()

    def ended(self) -> bool:
        """Whether one of them has."""
        return any(process.poll() is not None for process in self.all)

    def wait(self, seconds: float) -> list[int | None]:
        """The code of each, negative for a signal; None where one still lives after all of them."""
        deadline = time.monotonic() + seconds
        for process in self.all:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0))
        return [process.returncode for process in self.all]

    def told(self, number: int = 0) -> str:
        """What one of them has printed."""
        return self.logs[number].read_text(encoding="utf-8", errors="replace")

    def step(self) -> int:
        """The newest step that process 0 has told of since its start, 0 before the first."""
        steps = re.findall(r"^step (\d+)/", self.told(), re.MULTILINE)
        return int(steps[-1]) if steps else 0

    def until_step(self, step: int, seconds: float = 120) -> bool:
        """Waits until process 0 tells of this step; False where one ends before, or it takes longer."""
        deadline = time.monotonic() + seconds
        while self.step() < step:
            if self.ended() or time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True


def _start(words, log, cache):
    given = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(
            [str(HERE.parents[1]), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
        ),
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # compiled sooner
    }
    with log.open("wb") as out:
        environment = {**os.environ, **given}
        return subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT, env=environment)


def name_of(code: int | None) -> str:
    """An exit code in words."""
    if code is None:
        return "still there"
    return signal.Signals(-code).name if code < 0 else str(code)


def half_written(workdir: Path) -> list[str]:
    """The folders of checkpoints that are being written, or were when a run was killed."""
    return [f.name for f in (workdir / "checkpoints").glob("*.orbax-checkpoint-tmp*")]


def lines(workdir: Path) -> list[dict]:
    """The metrics of all steps, but for what depends on the time."""
    text = (workdir / "metrics.jsonl").read_text(encoding="utf-8")
    found = [json.loads(line) for line in text.splitlines()]
    return [{k: v for k, v in line.items() if k not in _TIMED} for line in found]
