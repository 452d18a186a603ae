"""The command `train` in one or several processes, which tests may kill."""

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
    """Returns a port that is free now and outside the range that the system gives to clients."""
    while True:
        port = random.randrange(20000, 30000)
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            return port


def cluster_flags(port: int, count: int, process: int, *, timeout: int = 60) -> tuple[str, ...]:
    """Returns the flags that make a process number `process` of a run with `count` processes."""
    names = {"num_processes": count, "process_id": process, "timeout": timeout}
    flags = [f"--{name}={value}" for name, value in names.items()]
    return (f"--coordinator=127.0.0.1:{port}", *flags)


class Processes:
    """A context manager that runs the command in one process per entry of `flags`.

    The config is tiny.py. The output goes to log_0.txt, log_1.txt, … in `logs`. Leaving the context
    kills the processes that still run.
    """

    def __init__(self, workdir, flags, *, logs, cache, program=("-m", "byol_jax")):
        self.logs = [Path(logs) / f"log_{number}.txt" for number in range(len(flags))]
        common = ("train", f"--config={CONFIG}", f"--workdir={workdir}")
        commands = [[sys.executable, *program, *common, *extra] for extra in flags]
        self.all = [
            _start(command, log, cache) for command, log in zip(commands, self.logs, strict=True)
        ]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for process in self.all:
            if process.poll() is None:
                process.kill()
            process.wait()

    def ended(self) -> bool:
        """Returns True if at least one process has ended."""
        return any(process.poll() is not None for process in self.all)

    def wait(self, seconds: float) -> list[int | None]:
        """Waits for all processes; returns their exit codes.

        A code is negative for a signal, and None if the process still runs after the time.
        """
        deadline = time.monotonic() + seconds
        for process in self.all:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0))
        return [process.returncode for process in self.all]

    def output(self, number: int = 0) -> str:
        """Returns what a process has printed."""
        return self.logs[number].read_text(encoding="utf-8", errors="replace")

    def step(self) -> int:
        """Returns the newest step that process 0 has reported since its start, 0 before any."""
        steps = re.findall(r"^step (\d+)/", self.output(), re.MULTILINE)
        return int(steps[-1]) if steps else 0

    def until_step(self, step: int, seconds: float = 120) -> bool:
        """Waits until process 0 reports a step; returns False on an early end or a timeout."""
        deadline = time.monotonic() + seconds
        while self.step() < step:
            if self.ended() or time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True


def _start(command, log, cache):
    python_path = [str(HERE.parents[1]), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(python_path),
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # shortens the compilation
    }
    with log.open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)


def describe_exit(code: int | None) -> str:
    """Returns an exit code in words."""
    if code is None:
        return "still running"
    return signal.Signals(-code).name if code < 0 else str(code)


def half_written(workdir: Path) -> list[str]:
    """Returns the folders of incomplete checkpoints, which a save writes or a kill has left."""
    return [f.name for f in (workdir / "checkpoints").glob("*.orbax-checkpoint-tmp*")]


def lines(workdir: Path) -> list[dict]:
    """Returns the metrics of all steps, without the values that depend on time or memory."""
    text = (workdir / "metrics.jsonl").read_text(encoding="utf-8")
    metrics = [json.loads(line) for line in text.splitlines()]
    for line in metrics:
        for name in _TIMED:
            line.pop(name, None)
    return metrics
