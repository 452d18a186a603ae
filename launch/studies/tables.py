"""Writes the tables of docs/results.md and draws a figure, from configs/fashion_mnist/results.

    python launch/studies/tables.py

Needs the extra `plot`. On the page, the table between <!-- NAME --> and <!-- end --> is the
output of SECTIONS[NAME].
"""

import collections
import hashlib
import json
import pathlib
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from byol_jax import workdir

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results.md"
RESULTS = ROOT / "configs" / "fashion_mnist" / "results"
PICTURE = RESULTS / "equal_time.svg"
TITLES = {
    "byol": "BYOL",
    "simclr": "SimCLR",
    "moco_v2": "MoCo v2",
    "instdisc": "instance discrimination, exact softmax",
    "instdisc_nce": "instance discrimination, NCE",
    "cpc": "CPC, mean over patches",
    "simsiam": "SimSiam",
    "raft": "RAFT",
    "supervised": "supervised",
}
PEERS = ("byol", "simclr", "moco_v2")
PROTOCOLS = ("knn", "linear")
NAMES = ("", "seeds", "epochs", "minutes", "processor", "kNN", "linear")
SECTION = re.compile(r"<!-- (?!end)(\w+) -->\n.*?<!-- end -->", re.DOTALL)


class Run(NamedTuple):
    """The results of a run.

    accuracy[features][protocol] is in percent; steps[features] is the features' training step.
    """

    seed: int
    epochs: float
    minutes: float
    processor: str
    accuracy: Mapping[str, Mapping[str, float]]
    steps: Mapping[str, int]


def read(folder: pathlib.Path = RESULTS) -> dict[str, list[Run]]:
    """Reads all recorded runs by name, sorted by seed; lightly's names are lightly_NAME."""
    results = collections.defaultdict(list)
    for run_folder in sorted(folder.glob("*-*")):
        name, _, _ = run_folder.name.rpartition("-")
        results[name].append(_run(run_folder))
    return results


def _run(folder: pathlib.Path) -> Run:
    config = workdir.read_config(folder)
    evaluation = workdir.read_evaluation(folder)
    machine = json.loads((folder / "machine.json").read_text(encoding="utf-8"))
    accuracy = {
        name: {row["protocol"]: 100 * row["accuracy"] for row in rows}
        for name, rows in evaluation["accuracy"].items()
    }
    steps = {name: rows[0]["settings"]["step"] for name, rows in evaluation["accuracy"].items()}
    return Run(
        seed=config["seed"],
        epochs=config.get("epochs", 0.0),
        minutes=machine["seconds"] / 60,
        processor=re.sub(r"\(\w+\)| Processor", "", machine["processor"]),
        accuracy=accuracy,
        steps=steps,
    )


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Formats the mean and, if there are several values, their standard deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def markdown(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Formats a Markdown table; the first column is aligned left, the others right."""
    lines = [names, ["---"] + ["---:"] * (len(names) - 1), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def methods(results: Mapping[str, list[Run]]) -> str:
    """Returns the table of all configs at the end of training, and of the baselines."""
    rows = []
    for name, title in TITLES.items():
        if name in results:
            rows.append(_line(f"{title} (`{name}.py`)", results[name]))
    for name, title in TITLES.items():
        if f"{name}_long" in results:
            rows.append(_line(f"{title}, for longer", results[f"{name}_long"]))
    rows += baselines(results.get("byol", []))
    return markdown(NAMES, rows)


def quickstart(results: Mapping[str, list[Run]]) -> str:
    """Returns the table of the quickstart's config and its baselines."""
    runs = results.get("quickstart", [])
    rows = [_line("quickstart (`configs/quickstart.py`)", runs)] if runs else []
    return markdown(NAMES, rows + baselines(runs))


def baselines(runs: Sequence[Run]) -> list[list[str]]:
    """Returns the rows of untrained features and raw pixels, from the first run that has them."""
    rows = []
    for name in ("untrained", "raw pixels"):
        for run in [run for run in runs if name in run.accuracy][:1]:
            cells = [f"{run.accuracy[name][p]:.1f}" for p in PROTOCOLS]
            rows.append([name, *[""] * (len(NAMES) - 1 - len(cells)), *cells])
    return rows


def _line(title, runs):
    accuracies = [spread([run.accuracy["learned"][p] for run in runs]) for p in PROTOCOLS]
    minutes = spread([run.minutes for run in runs])
    processors = ", ".join(sorted({run.processor for run in runs}))
    return [title, len(runs), f"{runs[0].epochs:g}", minutes, processors, *accuracies]


def compare_with_lightly(results: Mapping[str, list[Run]]) -> str:
    """Returns the table of byol_jax ("ours") and lightly, after equal time and at equal steps.

    The row "difference" has the means and standard deviations of the differences per seed.
    """
    rows = []
    for name in PEERS:
        ours, theirs = pairs(results, name)
        if not ours:
            continue
        title = TITLES[name]
        our_accuracies = _accuracies(ours, theirs)
        their_accuracies = _accuracies(theirs, theirs)
        differences = [
            [a - b for a, b in zip(our_column, their_column, strict=True)]
            for our_column, their_column in zip(our_accuracies, their_accuracies, strict=True)
        ]
        rows.append([f"{title}, ours", len(ours), _steps(ours), *map(spread, our_accuracies)])
        rows.append(
            [f"{title}, lightly", len(theirs), _steps(theirs), *map(spread, their_accuracies)]
        )
        rows.append([f"{title}, difference", "", "", *map(spread, differences)])
    names = ["", "seeds", "steps", "kNN", "linear", "linear, halfway", "linear, equal steps"]
    return markdown(names, rows)


def _steps(runs: Sequence[Run]) -> str:
    return spread([run.steps["learned"] for run in runs], 0)


def _accuracies(runs, theirs):
    """Returns the columns of a table, each with one accuracy per seed.

    They are kNN and linear at the end, and linear at the two steps shared with lightly's runs.
    """
    final = [[run.accuracy["learned"][p] for run in runs] for p in PROTOCOLS]
    names_by_column = zip(*map(shared_steps, theirs), strict=True)
    return final + [
        [run.accuracy[name]["linear"] for run, name in zip(runs, names, strict=True)]
        for names in names_by_column
    ]


def pairs(results: Mapping[str, list[Run]], name: str) -> tuple[list[Run], list[Run]]:
    """Returns the runs of byol_jax and of lightly that have the same seeds, in the same order."""
    theirs = {run.seed: run for run in results.get(f"lightly_{name}", [])}
    ours = [run for run in results.get(name, []) if run.seed in theirs]
    return ours, [theirs[run.seed] for run in ours]


def shared_steps(theirs: Run) -> list[str]:
    """Returns the names "step N" of the two steps at which both libraries were evaluated."""
    return sorted(theirs.steps.keys() - {"learned"}, key=lambda name: theirs.steps[name])


SECTIONS = {"methods": methods, "beside_lightly": compare_with_lightly, "quickstart": quickstart}


def fill(text: str, results: Mapping[str, list[Run]]) -> str:
    """Returns the text of the page with updated tables."""

    def replace(match):
        name = match[1]
        return f"<!-- {name} -->\n{SECTIONS[name](results)}\n<!-- end -->"

    return SECTION.sub(replace, text)


def digest(results: Mapping[str, list[Run]]) -> str:
    """Returns the fingerprint of the results in the picture."""
    shown = {name: runs for name, runs in results.items() if name.removeprefix("lightly_") in PEERS}
    return fingerprint(shown)


def fingerprint(values: Any) -> str:
    """Returns the SHA-256 of the values in a picture, to store in the picture's file."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def picture(results: Mapping[str, list[Run]], file: pathlib.Path) -> None:
    """Draws linear accuracy against minutes; the file's metadata contain the digest."""
    from matplotlib import figure, rc_context

    with rc_context({"svg.hashsalt": "byol_jax", "svg.fonttype": "none"}):
        drawing = figure.Figure(figsize=(9, 3.2), layout="constrained")
        names = [name for name in PEERS if pairs(results, name)[0]]
        panels = drawing.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            ours, theirs = pairs(results, name)
            for runs, label, style in ((ours, "byol_jax", "-o"), (theirs, "lightly", "--s")):
                for run in runs:
                    points = sorted((run.steps[k], run.accuracy[k]["linear"]) for k in run.steps
                                    if k == "learned" or k.startswith("step "))  # fmt: skip
                    minutes = [run.minutes * step / points[-1][0] for step, _ in points]
                    color = {"byol_jax": "tab:blue", "lightly": "tab:orange"}[label]
                    first = {"label": label} if run is runs[0] else {}
                    axes.plot(minutes, [y for _, y in points], style, color=color, ms=4, **first)
            axes.set(title=TITLES[name], xlabel="minutes", xlim=(0, None))
            axes.grid(alpha=0.3)
        panels[0].set_ylabel("linear accuracy, %")
        lines = panels[0].get_legend_handles_labels()
        drawing.legend(*lines, loc="outside lower center", ncols=2)
        metadata = {"Date": None, "Description": digest(results)}
        drawing.savefig(file, metadata=metadata)


def main() -> None:
    results = read()
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    picture(results, PICTURE)
    print(f"wrote {PAGE} and {PICTURE} from {sum(map(len, results.values()))} runs")


if __name__ == "__main__":
    main()
