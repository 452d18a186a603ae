"""Trains every config of configs/fashion_mnist, BYOL, SimCLR and MoCo v2 beside lightly (extra parity).

    python launch/studies/fashion_mnist.py [--seeds=0,1,2] [--only=byol,simclr]
        [--data=data/fashion_mnist] [--runs=runs/fashion_mnist]

One run after another, alone on the machine: ours first, timed from its start to its end without the
evaluation; then lightly trains for as many seconds, without those that it needs to start. Both are
evaluated at the end, and at steps that both have. What a run says of itself goes to
configs/fashion_mnist/results, from where launch/studies/tables.py makes README's tables. A run whose results
are there is not run again, so that the same command goes on after an interruption.

Names that end in _long are the same for six times the epochs; quickstart is the embedded pictures'.
"""

import argparse
import json
import os
import pathlib
import runpy
import shutil
import subprocess
import sys
import time

from byol_jax import workdir
from tables import PEERS, RESULTS, ROOT, TITLES

LONG, TIMES = "_long", 6
EVERY = 250  # steps between checkpoints
WITH_BASELINES = ("byol", "quickstart")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="data/fashion_mnist")
    parser.add_argument("--runs", default="runs/fashion_mnist", type=pathlib.Path)
    parser.add_argument("--results", default=RESULTS, type=pathlib.Path)
    parser.add_argument("--only", default=",".join(TITLES))
    parser.add_argument("--seeds", default="0")
    given = parser.parse_args()
    for seed in given.seeds.split(","):
        for name in given.only.split(","):
            pair(name, seed, given)


def pair(name: str, seed: str, given: argparse.Namespace) -> None:
    """Runs a config with a seed, lightly's counterpart where there is one, and keeps the results."""
    run, kept = given.runs / f"{name}-{seed}", given.results / f"{name}-{seed}"
    peer, peer_kept = (
        given.runs / f"lightly_{name}-{seed}",
        given.results / f"lightly_{name}-{seed}",
    )
    if kept.exists():
        print(f"{kept} is there")
        return
    shutil.rmtree(run, ignore_errors=True)  # half a run has no time of its own
    seconds, steps = train(name, seed, run, given.data), ["last"]
    if name in PEERS:
        options = [f"--data={given.data}", f"--seed={seed}", f"--every={EVERY}", f"--out={peer}"]
        _call(
            ROOT / "launch" / "studies" / "peer.py",
            f"--config={config_of(name)}",
            f"--seconds={seconds:.1f}",
            *options,
        )
        steps += common(peer)
    flags = ["--protocol=knn,linear", f"--config.evaluate.steps={tuple(steps)}"]
    flags += [] if name in WITH_BASELINES and seed == "0" else ["--config.evaluate.baselines=()"]
    _call("-m", "byol_jax", "evaluate", f"--workdir={run}", *flags)
    if name in PEERS:
        keep(peer, peer_kept, seconds)
    keep(run, kept, seconds)


def config_of(name: str) -> pathlib.Path:
    """The config's file."""
    folder = RESULTS.parent if name != "quickstart" else ROOT / "configs"
    return folder / f"{name.removesuffix(LONG)}.py"


def train(name: str, seed: str, run: pathlib.Path, data: str) -> float:
    """Trains by a config; the seconds from the start of the process to its end."""
    file, flags = config_of(name), [f"--config.seed={seed}", "--config.report=False"]
    if name != "quickstart":
        flags += [f"--config.data.name={data}"]
    if name.endswith(LONG):
        epochs = runpy.run_path(str(file))["get_config"]().epochs
        flags += [f"--config.epochs={TIMES * epochs}"]
    flags += [f"--config.checkpoint_every_steps={EVERY}", "--config.keep_checkpoints=1000"]
    start = time.monotonic()
    _call(
        "-m",
        "byol_jax",
        "train",
        f"--config={file}",
        f"--workdir={run}",
        *flags,
        "--config.evaluate.protocols=()",
    )
    return time.monotonic() - start


def common(peer: pathlib.Path) -> list[int]:
    """The steps at which a run of lightly was evaluated, but for its last."""
    found = workdir.read_evaluation(peer)["accuracy"]
    return [rows[0]["settings"]["step"] for name, rows in found.items() if name != "learned"]


def keep(run: pathlib.Path, folder: pathlib.Path, seconds: float) -> None:
    """Copies what a run says of itself, without the confusion of classes; all of it or nothing."""
    scratch = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for name in (workdir.CONFIG, workdir.METRICS):
        shutil.copy(run / name, scratch)
    evaluation = workdir.read_evaluation(run)
    for rows in evaluation["accuracy"].values():
        for row in rows:
            del row["confusion"]
    machine = {"seconds": round(seconds, 1), "processor": processor()}
    for name, record in {workdir.EVALUATION: evaluation, "machine.json": machine}.items():
        (scratch / name).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)


def processor() -> str:
    """How many cores of which kind; Linux only."""
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}"


def _call(*words) -> None:
    huge = {
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"
    }  # as launch/local.sh does; lightly has it too
    print("\n$ python", *words, flush=True)
    subprocess.run([sys.executable, *map(str, words)], check=True, env={**huge, **os.environ})


if __name__ == "__main__":
    main()
