"""Trains SimCLR on icons with every pair of augmentations, to find which work well together.

    python launch/studies/icons.py
    python launch/studies/augmentation_pairs.py [--seeds=0,1] [--runs=runs/pairs]

Needs the extra `plot`. Two runs train at a time. The accuracies are written to
configs/icons/pairs.json and a heat map of their means to configs/icons/pairs.svg. Recorded runs are
not repeated, so the same command resumes after an interruption.
"""

import argparse
import concurrent.futures
import itertools
import json
import pathlib
import statistics
import subprocess
import sys

from byol_jax import workdir
from byol_jax.system import paths
from tables import fingerprint

FOLDER = pathlib.Path(__file__).parents[2] / "configs" / "icons"
RECORD = FOLDER / "pairs.json"
PICTURE = FOLDER / "pairs.svg"
OPERATIONS = {  # operation -> label in the picture, in the order in which views apply them
    "crop": "crop",
    "flip": "flip",
    "jitter": "colour",
    "grayscale": "gray",
    "blur": "blur",
    "solarize": "solarize",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Train SimCLR on icons with every pair of augmentations."
    )
    parser.add_argument(
        "--seeds", default="0,1", help="seeds, separated by commas (default: %(default)s)"
    )
    parser.add_argument(
        "--runs",
        default="runs/pairs",
        type=pathlib.Path,
        help="folder for the workdirs of the runs (default: %(default)s)",
    )
    flags = parser.parse_args()
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    names = [f"{order}-{seed}" for seed in flags.seeds.split(",") for order in orders()]
    missing = [name for name in names if name not in record]
    pool = concurrent.futures.ThreadPoolExecutor(2)
    try:
        futures = {pool.submit(train, name, flags.runs / name): name for name in missing}
        for future in concurrent.futures.as_completed(futures):
            name = futures[future]
            record[name] = future.result()
            print(name, record[name], flush=True)
            write_record(record)
    finally:
        pool.shutdown(cancel_futures=True)  # after a failure, no further run starts
    picture(means(record))


def write_record(record: dict[str, dict[str, float]]) -> None:
    """Writes the record; an interrupted write leaves the previous file unchanged."""
    paths.write_whole(RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")


def orders() -> dict[str, tuple[str, ...]]:
    """Returns the orders of operations to compare, by name: none, each single one, each pair."""
    subsets = [c for size in (0, 1, 2) for c in itertools.combinations(OPERATIONS, size)]
    return {"+".join(names) or "none": names for names in subsets}


def train(name: str, run: pathlib.Path) -> dict[str, float]:
    """Trains SimCLR with the order and seed of a name ORDER-SEED; returns its test accuracies."""
    order, _, seed = name.rpartition("-")
    views = [f"--config.views.{view}.order={orders()[order]}" for view in ("first", "second")]
    options = [f"--config.seed={seed}", "--config.report=False", *views]
    words = ["-m", "byol_jax", "train", f"--config={FOLDER / 'simclr.py'}", f"--workdir={run}"]
    run.mkdir(parents=True, exist_ok=True)
    with (run / "log.txt").open("w", encoding="utf-8") as log:
        subprocess.run([sys.executable, *words, *options], check=True, stdout=log, stderr=log)
    evaluation = workdir.read_evaluation(run)
    accuracies = {
        f"{features} {row['protocol']}": round(row["accuracy"], 4)
        for features, rows in evaluation["accuracy"].items()
        for row in rows
    }
    return {"commit": evaluation["accuracy"]["learned"][0]["settings"]["commit"], **accuracies}


def means(record) -> dict[str, float]:
    """Returns the mean linear accuracy of each order over its seeds, in percent.

    The record must contain every order.
    """
    accuracies = {
        order: [record[key]["learned linear"] for key in record if key.rpartition("-")[0] == order]
        for order in orders()
    }
    return {order: 100 * statistics.mean(values) for order, values in accuracies.items()}


def picture(accuracy: dict[str, float]) -> None:
    """Draws the heat map of accuracies: one cell per pair, single operations along the edge.

    The file's metadata contain the fingerprint of the accuracies.
    """
    from matplotlib import figure, rc_context

    names = ["none", *OPERATIONS]
    with rc_context({"svg.hashsalt": "byol_jax", "svg.fonttype": "none"}):
        drawing = figure.Figure(figsize=(6, 5), layout="constrained")
        axes = drawing.subplots()
        rows = [[float("nan")] * len(names) for _ in names]
        for i, j in [(0, 0), *itertools.combinations(range(len(names)), 2)]:
            order = "+".join(names[k] for k in (i, j) if k > 0) or "none"
            rows[j][i] = accuracy[order]
            middle = (min(accuracy.values()) + max(accuracy.values())) / 2
            color = "black" if accuracy[order] > middle else "white"
            axes.text(i, j, f"{accuracy[order]:.1f}", ha="center", va="center", color=color)
        axes.imshow(rows, cmap="viridis")
        labels = ["none", *OPERATIONS.values()]
        axes.set_xticks(range(len(names)), labels)
        axes.set_yticks(range(len(names)), labels)
        axes.set_title("linear accuracy, %, by the two augmentations")
        axes.spines[:].set_visible(False)
        metadata = {"Date": None, "Description": fingerprint(accuracy)}
        drawing.savefig(PICTURE, metadata=metadata)


if __name__ == "__main__":
    main()
