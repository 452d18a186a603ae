"""Trains every config of configs/fashion_mnist, and lightly's BYOL, SimCLR and MoCo v2 as peers.

    python launch/studies/fashion_mnist.py [--seeds=0,1,2] [--only=byol,simclr]
        [--data=data/fashion_mnist] [--runs=runs/fashion_mnist]

Needs the extra `parity`. Only one run trains at a time. byol_jax trains first, and its whole
process is timed, start-up included and evaluation excluded. Then lightly trains for the same number
of seconds, start-up excluded. Both are evaluated at the end and at two steps that they share. The
results are written to configs/fashion_mnist/results, from which launch/studies/tables.py makes
the tables of docs/results.md. Runs that have results are not repeated, so the same command resumes
after an
interruption.

A name that ends in _long trains for six times as many epochs. The name quickstart selects
configs/quickstart.py, which trains on the images inside the package.
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

LONG = "_long"
TIMES = 6  # epochs of a long run, as a multiple of the config's
EVERY = 250  # steps between checkpoints
WITH_BASELINES = ("byol", "quickstart")


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Train every config of configs/fashion_mnist, and lightly's methods as peers."
    )
    parser.add_argument(
        "--data", default="data/fashion_mnist", help="prepared data set (default: %(default)s)"
    )
    parser.add_argument(
        "--runs",
        default="runs/fashion_mnist",
        type=pathlib.Path,
        help="folder for the workdirs of the runs (default: %(default)s)",
    )
    parser.add_argument(
        "--results", default=RESULTS, type=pathlib.Path, help="folder for the results"
    )
    parser.add_argument(
        "--only", default=",".join(TITLES), help="names of configs, separated by commas"
    )
    parser.add_argument(
        "--seeds", default="0", help="seeds, separated by commas (default: %(default)s)"
    )
    flags = parser.parse_args()
    for seed in flags.seeds.split(","):
        for name in flags.only.split(","):
            run_with_peer(name, seed, flags)


def run_with_peer(name: str, seed: str, flags: argparse.Namespace) -> None:
    """Trains and evaluates a config, and lightly's method if there is one; records the results."""
    run = flags.runs / f"{name}-{seed}"
    results = flags.results / f"{name}-{seed}"
    peer = flags.runs / f"lightly_{name}-{seed}"
    peer_results = flags.results / f"lightly_{name}-{seed}"
    if results.exists():
        print(f"{results} exists; skipping this run")
        return
    shutil.rmtree(run, ignore_errors=True)  # a resumed run could not be timed
    seconds = train(name, seed, run, flags.data)
    steps: list[str | int] = ["last"]
    if name in PEERS:
        _call(
            ROOT / "launch" / "studies" / "peer.py",
            f"--config={config_of(name)}",
            f"--seconds={seconds:.1f}",
            f"--data={flags.data}",
            f"--seed={seed}",
            f"--every={EVERY}",
            f"--out={peer}",
        )
        steps += shared_steps(peer)
    options = ["--protocol=knn,linear", f"--config.evaluate.steps={tuple(steps)}"]
    if name not in WITH_BASELINES or seed != "0":
        options.append("--config.evaluate.baselines=()")
    _call("-m", "byol_jax", "evaluate", f"--workdir={run}", *options)
    # The run's own results come last: they mark the pair as complete.
    if name in PEERS:
        record(peer, peer_results, seconds)
    record(run, results, seconds)


def config_of(name: str) -> pathlib.Path:
    """Returns the config file of a name."""
    folder = RESULTS.parent if name != "quickstart" else ROOT / "configs"
    return folder / f"{name.removesuffix(LONG)}.py"


def train(name: str, seed: str, run: pathlib.Path, data: str) -> float:
    """Trains a config; returns the seconds from the start of the process to its end."""
    file = config_of(name)
    options = [f"--config.seed={seed}", "--config.report=False"]
    if name != "quickstart":
        options.append(f"--config.data.name={data}")
    if name.endswith(LONG):
        epochs = runpy.run_path(str(file))["get_config"]().epochs
        options.append(f"--config.epochs={TIMES * epochs}")
    options += [f"--config.checkpoint_every_steps={EVERY}", "--config.keep_checkpoints=1000"]
    start = time.monotonic()
    _call(
        "-m",
        "byol_jax",
        "train",
        f"--config={file}",
        f"--workdir={run}",
        *options,
        "--config.evaluate.protocols=()",
    )
    return time.monotonic() - start


def shared_steps(peer: pathlib.Path) -> list[int]:
    """Returns the steps at which a run of lightly was evaluated, except its last."""
    accuracy = workdir.read_evaluation(peer)["accuracy"]
    return [rows[0]["settings"]["step"] for name, rows in accuracy.items() if name != "learned"]


def record(run: pathlib.Path, folder: pathlib.Path, seconds: float) -> None:
    """Copies the results of a run, without confusion matrices, to a folder.

    An interruption leaves no incomplete folder.
    """
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
    for name, contents in {workdir.EVALUATION: evaluation, "machine.json": machine}.items():
        (scratch / name).write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)


def processor() -> str:
    """Returns the number and the model of this machine's cores; works on Linux only."""
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}"


def _call(*words: object) -> None:
    """Runs Python with these arguments and with huge pages, as launch/local.sh does."""
    environment = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", **os.environ}
    print("\n$ python", *words, flush=True)
    subprocess.run([sys.executable, *map(str, words)], check=True, env=environment)


if __name__ == "__main__":
    main()
