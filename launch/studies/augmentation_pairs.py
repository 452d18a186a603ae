"""Which two augmentations go together? Trains SimCLR on icons by every pair (extra plot).

    python launch/studies/icons.py
    python launch/studies/augmentation_pairs.py [--seeds=0,1] [--runs=runs/pairs]

Two runs at a time. Accuracies go to configs/icons/pairs.json, and the picture of their means beside
it. What is there is not run again: after an interruption the same command goes on.
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
RECORD, PICTURE = FOLDER / "pairs.json", FOLDER / "pairs.svg"
OPERATIONS = {  # in the order in which views apply them
    "crop": "crop",
    "flip": "flip",
    "jitter": "colour",
    "grayscale": "gray",
    "blur": "blur",
    "solarize": "solarize",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--runs", default="runs/pairs", type=pathlib.Path)
    given = parser.parse_args()
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    wanted = [f"{name}-{seed}" for seed in given.seeds.split(",") for name in orders()]
    left = [name for name in wanted if name not in record]
    pool = concurrent.futures.ThreadPoolExecutor(2)
    try:
        found = {pool.submit(train, name, given.runs / name): name for name in left}
        for done in concurrent.futures.as_completed(found):
            record[found[done]] = done.result()
            print(found[done], record[found[done]], flush=True)
            keep(record)
    finally:
        pool.shutdown(cancel_futures=True)  # after a failure those that wait do not begin
    picture(means(record))


def keep(record: dict[str, dict[str, float]]) -> None:
    """Writes the record, all of it or nothing."""
    paths.write_whole(RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")


def orders() -> dict[str, tuple[str, ...]]:
    """The order of the views by name: none, one, and every two operations."""
    chosen = [c for size in (0, 1, 2) for c in itertools.combinations(OPERATIONS, size)]
    return {"+".join(names) or "none": names for names in chosen}


def train(name: str, run: pathlib.Path) -> dict[str, float]:
    """Trains by the order of this name and seed; its accuracies on the test split."""
    order, _, seed = name.rpartition("-")
    views = [f"--config.views.{view}.order={orders()[order]}" for view in ("first", "second")]
    options = [f"--config.seed={seed}", "--config.report=False", *views]
    words = ["-m", "byol_jax", "train", f"--config={FOLDER / 'simclr.py'}", f"--workdir={run}"]
    run.mkdir(parents=True, exist_ok=True)
    with (run / "log.txt").open("w", encoding="utf-8") as log:
        subprocess.run([sys.executable, *words, *options], check=True, stdout=log, stderr=log)
    evaluation = workdir.read_evaluation(run)
    found = {
        f"{who} {row['protocol']}": round(row["accuracy"], 4)
        for who, rows in evaluation["accuracy"].items()
        for row in rows
    }
    return {"commit": evaluation["accuracy"]["learned"][0]["settings"]["commit"], **found}


def means(record) -> dict[str, float]:
    """The mean linear accuracy of each order over its seeds, in percent; all orders must be there."""
    seeds = {
        order: [record[key]["learned linear"] for key in record if key.rpartition("-")[0] == order]
        for order in orders()
    }
    return {order: 100 * statistics.mean(found) for order, found in seeds.items()}


def picture(accuracy: dict[str, float]) -> None:
    """Draws a triangle: a cell a pair, on its edge one operation alone; tells its fingerprint."""
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
        about = {"Date": None, "Description": fingerprint(accuracy)}
        drawing.savefig(PICTURE, metadata=about)


if __name__ == "__main__":
    main()
