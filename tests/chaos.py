"""Kills a training run at random moments and checks that it ends like an undisturbed run.

    python tests/chaos.py --kills=30 --seed=0 --processes=1,2

For each number of processes, the program trains twice: once undisturbed, and once with kills. A
kill sends SIGKILL or SIGTERM to one of the processes while the run starts, trains or saves. After
each kill, all processes must end by themselves, and the same command must resume. In the end, all
arrays of the last checkpoint must be bitwise equal to those of the undisturbed run, and the metrics
of every step must be equal.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from support import processes

_STEPS_PER_KILL = 60  # with one process; usually more steps than a run takes until it is killed
_TIMEOUT = 20  # seconds; the command's --timeout
_PATIENCE = 60  # seconds after a kill; a process that still lives then has failed
_KINDS = {"start": (0.15, 8.0), "steps": (0.5, 1.5), "save": (0.35, 0.06)}  # probability, seconds
_REFERENCES = {"start": "the start", "steps": "the first step", "save": "the start of a save"}
_PREEMPTED = 75  # hosts.PREEMPTED
_LOST = 76  # hosts.LOST


class Moment(NamedTuple):
    """A planned kill.

    Attributes:
        kind: "start", "steps" or "save": the delay counts from the start of the run, from its
            first step, or from the start of a save.
        delay: Seconds.
        signal: The signal that is sent.
        victim: Number of the process that receives it.
    """

    kind: str
    delay: float
    signal: signal.Signals
    victim: int


def moments(kills: int, count: int, seed: int) -> list[Moment]:
    """Draws the kills of a run with `count` processes; the same for the same seed."""
    draw = random.Random(f"{seed} {count}")
    drawn = []
    for _ in range(kills):
        kind = draw.choices(list(_KINDS), [probability for probability, _ in _KINDS.values()])[0]
        sent = draw.choice((signal.SIGKILL, signal.SIGTERM))
        _, longest = _KINDS[kind]
        drawn.append(Moment(kind, draw.uniform(0, longest), sent, draw.randrange(count)))
    return drawn


class Runs:
    """An undisturbed and a disturbed run with the same number of processes.

    Args:
        folder: Folder for the workdirs and the logs.
        count: Number of processes.
        kills: Number of planned kills, which sets the number of steps.
        cache: Folder of compiled programs, which all runs share.
    """

    def __init__(self, folder: Path, count: int, kills: int, cache: Path):
        self.folder = folder
        self.count = count
        self.cache = cache
        self.port = processes.free_port()
        self.total = max(kills, 3) * _STEPS_PER_KILL // count**2
        (folder / "logs").mkdir(parents=True)

    def start(self, name: str) -> processes.Processes:
        """Starts or resumes the run of this name; the command is always the same."""
        common = (f"--config.epochs={self.total // 3}",)
        flags = [
            common + processes.cluster_flags(self.port, self.count, number, timeout=_TIMEOUT)
            if self.count > 1
            else common
            for number in range(self.count)
        ]
        logs = self.folder / "logs"
        return processes.Processes(self.folder / name, flags, logs=logs, cache=self.cache)

    def finish(self, name: str) -> list[str]:
        """Runs the command to the end; returns the failures."""
        with self.start(name) as run:
            codes = run.wait(900)
            if set(codes) == {0}:
                return []
            return [f"{name}: the exit codes are {codes}:\n{run.output()[-3000:]}"]

    def kill(self, moment: Moment) -> tuple[str, list[str]]:
        """Starts the disturbed run, kills it, waits; returns a line to print and the failures."""
        workdir = self.folder / "disturbed"
        with self.start("disturbed") as run:
            has_come = _wait_for(moment, run, workdir)
            is_saving = processes.half_written(workdir)
            has_ended = run.ended()
            begin = time.monotonic()
            run.all[moment.victim].send_signal(moment.signal)
            step = run.step()
            codes = run.wait(_PATIENCE)
            seconds = time.monotonic() - begin
            failures = [] if has_come and not has_ended else ["the planned moment did not come"]
            failures += _wrong(codes, moment, step)
            if failures:
                failures += [run.output(number)[-2000:] for number in range(self.count)]
        when = f"{moment.delay:.3f} s after {_REFERENCES[moment.kind]}, "
        when += f"at step {step}" if step else "before its first step"
        # Before the first step, a partial checkpoint is one that the previous run left.
        when += ", while saving" if is_saving and step else ""
        partial = ", partial checkpoint left" if step and processes.half_written(workdir) else ""
        ends = ", ".join(map(processes.describe_exit, codes))
        line = f"{moment.signal.name} to process {moment.victim} {when}{partial}; "
        line += f"ended by {ends} in {seconds:.1f} s"
        return line, failures


def _wait_for(moment, run, workdir) -> bool:
    """Waits for the moment; returns False if the run ends before it or makes no progress."""
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
    """Returns what is wrong in how the processes ended."""
    failures = []
    if None in codes:
        failures.append("not all processes ended by themselves")
    if not any(codes):
        failures.append("no process noticed the signal")
    if moment.signal == signal.SIGTERM and step and set(codes) != {_PREEMPTED}:
        failures.append(f"not all processes ended by {_PREEMPTED}")
    if moment.signal == signal.SIGKILL and codes[moment.victim] != -signal.SIGKILL:
        failures.append("the victim did not end by SIGKILL")
    allowed = {_PREEMPTED, _LOST, -signal.SIGABRT, -signal.SIGTERM, -signal.SIGKILL, None}
    # Before the first step, a process may wait in vain for the roll call and end by an error.
    allowed |= set() if step else {1}
    if not set(codes) <= allowed:
        failures.append(f"an exit code is not one of {sorted(allowed - {None})}")
    return failures


def differences(folder: Path) -> list[str]:
    """Returns the differences in the last checkpoints and the metrics of the two runs."""
    undisturbed = folder / "undisturbed"
    disturbed = folder / "disturbed"
    expected = _arrays(undisturbed)
    actual = _arrays(disturbed)
    names = sorted(expected.keys() | actual.keys())
    result = [f"{name} differs" for name in names if expected.get(name) != actual.get(name)]
    if processes.lines(undisturbed) != processes.lines(disturbed):
        result.append("the metrics differ")
    return result


def _arrays(workdir) -> dict[str, tuple[str, tuple, bytes]]:
    """Returns type, shape and bytes of all arrays of the newest checkpoint, by name."""
    import jax
    import orbax.checkpoint as ocp

    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    handler = ocp.StandardCheckpointHandler()
    with ocp.CheckpointManager(workdir / "checkpoints", item_handlers=handler) as manager:
        step = manager.latest_step()
        metadata = manager.item_metadata(step)
        like = {
            name: jax.ShapeDtypeStruct(
                metadata[name].shape, metadata[name].dtype, sharding=sharding
            )
            for name in metadata
        }
        arrays = manager.restore(step, args=ocp.args.StandardRestore(like))
    return {k: (str(x.dtype), x.shape, np.asarray(x).tobytes()) for k, x in arrays.items()}


def chaos(
    folder: Path,
    count: int,
    planned: list[Moment],
    cache: Path,
    show: Callable[[str], object] = print,
) -> list[str]:
    """Runs the whole check for one number of processes; returns the failures."""
    begin = time.monotonic()
    runs = Runs(folder, count, len(planned), cache)
    show(f"{count} process{'es' * (count > 1)}, {runs.total} steps, {len(planned)} kills")
    failures = runs.finish("undisturbed")
    for number, moment in enumerate(planned, 1):
        line, errors = runs.kill(moment)
        show(f"  {number:2}. {line}" + "".join(f"\n      WRONG: {error}" for error in errors))
        failures += errors
    failures += runs.finish("disturbed")
    failures += differences(folder)
    if failures:
        verdict = f"NOT EQUAL, or ended in a wrong way: {'; '.join(failures)}"
    else:
        verdict = "equal: the last checkpoint bitwise, and the metrics of all steps"
    show(f"  {verdict} ({time.monotonic() - begin:.0f} s)")
    return failures


def main() -> int:
    """Runs the program; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", default="1,2")
    flags = parser.parse_args()
    failures = []
    with tempfile.TemporaryDirectory(prefix="byol_jax-chaos-") as folder:
        for count in map(int, flags.processes.split(",")):
            planned = moments(flags.kills, count, flags.seed)
            runs_folder = Path(folder) / str(count)
            failures += chaos(runs_folder, count, planned, Path(folder) / "compiled")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
