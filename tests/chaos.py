"""Kills a run again and again, and asks whether it ends as if nothing had happened.

    python tests/chaos.py --kills=30 --seed=0 --processes=1,2

For each number of processes: a run that nobody disturbs, and one that is killed so often, one of its
processes by SIGKILL or SIGTERM, at random moments: while it starts, in its steps, while it saves.
Each time all have to end by themselves, and the same command goes on. Then all arrays of the last
checkpoint must be bitwise those of the undisturbed run, and so the metrics of every step.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from support import processes

_STEPS_PER_KILL = 60  # by one process: more than it takes, as a rule, until it is killed
_TIMEOUT = 20  # seconds, --timeout of the command
_PATIENCE = 60  # seconds, until a process that still lives has failed
_KINDS = {"start": (0.15, 8.0), "steps": (0.5, 1.5), "save": (0.35, 0.06)}  # how often, seconds
_SINCE = {"start": "the start", "steps": "the first step", "save": "a save began"}
_TOLD, _LOST = 75, 76  # hosts.PREEMPTED and hosts.LOST


class Moment(NamedTuple):
    """When to kill whom: `delay` seconds after the start, the first step, or a save's beginning."""

    kind: str
    delay: float
    signal: signal.Signals
    victim: int


def moments(kills: int, count: int, seed: int) -> list[Moment]:
    """As many, drawn."""
    draw, found = random.Random(f"{seed} {count}"), []
    for _ in range(kills):
        kind = draw.choices(list(_KINDS), [often for often, _ in _KINDS.values()])[0]
        told = draw.choice((signal.SIGKILL, signal.SIGTERM))
        found.append(Moment(kind, draw.uniform(0, _KINDS[kind][1]), told, draw.randrange(count)))
    return found


class Runs:
    """Both runs of so many processes, in `folder`; `cache` has what is compiled."""

    def __init__(self, folder: Path, count: int, kills: int, cache: Path):
        self.folder, self.count, self.cache = folder, count, cache
        self.port = processes.free_port()
        self.total = max(kills, 3) * _STEPS_PER_KILL // count**2
        (folder / "logs").mkdir(parents=True)

    def start(self, name: str) -> processes.Processes:
        """The command, always the same."""
        own = (f"--config.epochs={self.total // 3}",)
        flags = [
            own + processes.place(self.port, self.count, process, timeout=_TIMEOUT)
            if self.count > 1
            else own
            for process in range(self.count)
        ]
        logs = self.folder / "logs"
        return processes.Processes(self.folder / name, flags, logs=logs, cache=self.cache)

    def finish(self, name: str) -> list[str]:
        """Runs it to its end; what was wrong."""
        with self.start(name) as run:
            codes = run.wait(900)
            return [f"{name}: ended by {codes}:\n{run.told()[-3000:]}"] if set(codes) != {0} else []

    def kill(self, moment: Moment) -> tuple[str, list[str]]:
        """Starts, kills, waits; the line to print, and what was wrong."""
        workdir = self.folder / "disturbed"
        with self.start("disturbed") as run:
            come = _wait_for(moment, run, workdir)
            saving, early, sent = processes.half_written(workdir), run.ended(), time.monotonic()
            run.all[moment.victim].send_signal(moment.signal)
            step = run.step()
            codes = run.wait(_PATIENCE)
            seconds = time.monotonic() - sent
            wrong = [] if come and not early else ["its moment did not come"]
            wrong += _wrong(codes, moment, step)
            wrong += [run.told(number)[-2000:] for number in range(self.count) if wrong]
        where = f"{moment.delay:.3f} s after {_SINCE[moment.kind]}, "
        where += f"at step {step}" if step else "before its first step"
        where += ", saving" if saving and step else ""  # else it was left by the run before
        left = ", half a checkpoint left" if step and processes.half_written(workdir) else ""
        ends = ", ".join(map(processes.name_of, codes))
        line = f"{moment.signal.name} to process {moment.victim} {where}{left}; "
        line += f"ended by {ends} in {seconds:.1f} s"
        return line, wrong


def _wait_for(moment, run, workdir) -> bool:
    """Whether the moment has come; not where the run has ended, or makes no step."""
    if moment.kind != "start" and not run.until_step(1):
        return False
    deadline = time.monotonic() + 60
    while moment.kind == "save" and not processes.half_written(workdir):
        if run.ended() or time.monotonic() > deadline:
            return False
        time.sleep(0.0005)
    time.sleep(moment.delay)
    return True


def _wrong(codes, moment, step) -> list[str]:
    """What should not be in how the processes ended."""
    found = []
    if None in codes:
        found.append("not all ended by themselves")
    if not any(codes):
        found.append("nobody noticed")
    if moment.signal == signal.SIGTERM and step and set(codes) != {_TOLD}:
        found.append(f"not all ended by {_TOLD}")
    if moment.signal == signal.SIGKILL and codes[moment.victim] != -signal.SIGKILL:
        found.append("the victim ended by something else")
    allowed = {_TOLD, _LOST, -signal.SIGABRT, -signal.SIGTERM, -signal.SIGKILL, None}
    allowed |= set() if step else {1}  # who waits in vain for the first meeting
    if not set(codes) <= allowed:
        found.append(f"a code that is none of {sorted(allowed - {None})}")
    return found


def differences(folder: Path) -> list[str]:
    """In what the last checkpoints and the metrics of the two runs differ."""
    names = ("undisturbed", "disturbed")
    whole, parts = (_arrays(folder / name) for name in names)
    every = sorted(whole.keys() | parts.keys())
    found = [f"{name} differs" for name in every if whole.get(name) != parts.get(name)]
    whole, parts = (processes.lines(folder / name) for name in names)
    return found + ["the metrics differ"] * (whole != parts)


def _arrays(workdir) -> dict[str, tuple[str, tuple, bytes]]:
    """The type, shape and bytes of all arrays of the newest checkpoint, by name."""
    import jax
    import orbax.checkpoint as ocp

    here = {"sharding": jax.sharding.SingleDeviceSharding(jax.devices()[0])}
    handler = ocp.StandardCheckpointHandler()
    with ocp.CheckpointManager(workdir / "checkpoints", item_handlers=handler) as manager:
        step = manager.latest_step()
        kinds = manager.item_metadata(step)
        like = {k: jax.ShapeDtypeStruct(kinds[k].shape, kinds[k].dtype, **here) for k in kinds}
        arrays = manager.restore(step, args=ocp.args.StandardRestore(like))
    return {k: (str(x.dtype), x.shape, np.asarray(x).tobytes()) for k, x in arrays.items()}


def chaos(folder: Path, count: int, planned: list[Moment], cache: Path, tell=print) -> list[str]:
    """Does all of it for a number of processes; returns what was wrong."""
    began, wrong = time.monotonic(), []
    runs = Runs(folder, count, len(planned), cache)
    tell(f"{count} process{'es' * (count > 1)}, {runs.total} steps, {len(planned)} kills")
    wrong += runs.finish("undisturbed")
    for number, moment in enumerate(planned, 1):
        line, errors = runs.kill(moment)
        tell(f"  {number:2}. {line}" + "".join(f"\n      WRONG: {error}" for error in errors))
        wrong += errors
    wrong += runs.finish("disturbed")
    wrong += differences(folder)
    verdict = f"NOT EQUAL or not as it should end: {'; '.join(wrong)}" if wrong else (
        "equal: all arrays of the last checkpoint bitwise, and the metrics of all steps"
    )  # fmt: skip
    tell(f"  {verdict} ({time.monotonic() - began:.0f} s)")
    return wrong


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", default="1,2")
    given, wrong = parser.parse_args(), []
    with tempfile.TemporaryDirectory(prefix="byol_jax-chaos-") as folder:
        for count in map(int, given.processes.split(",")):
            planned = moments(given.kills, count, given.seed)
            wrong += chaos(Path(folder) / str(count), count, planned, Path(folder) / "compiled")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
