"""Writes README's tables of results, and draws their picture, from configs/fashion_mnist/results.

    python launch/studies/tables.py        (extra plot)

Between <!-- NAME --> and <!-- end --> README has what `SECTIONS[NAME]` makes of the results.
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
README = ROOT / "README.md"
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
NAMES = ("", "seeds", "epochs", "minutes", "on", "kNN", "linear")
SECTION = re.compile(r"<!-- (?!end)(\w+) -->\n.*?<!-- end -->", re.DOTALL)


class Run(NamedTuple):
    """A run's results: accuracy[candidate][protocol] in percent, and at which step."""

    seed: int
    epochs: float
    minutes: float
    processor: str
    accuracy: Mapping[str, Mapping[str, float]]
    steps: Mapping[str, int]


def read(folder: pathlib.Path = RESULTS) -> dict[str, list[Run]]:
    """The runs by name, lightly's as lightly_NAME, in the order of their seeds."""
    found = collections.defaultdict(list)
    for place in sorted(folder.glob("*-*")):
        found[place.name.rpartition("-")[0]].append(_run(place))
    return found


def _run(place: pathlib.Path) -> Run:
    config, evaluation = workdir.read_config(place), workdir.read_evaluation(place)
    machine = json.loads((place / "machine.json").read_text(encoding="utf-8"))
    accuracy = {
        name: {row["protocol"]: 100 * row["accuracy"] for row in rows}
        for name, rows in evaluation["accuracy"].items()
    }
    steps = {name: rows[0]["settings"]["step"] for name, rows in evaluation["accuracy"].items()}
    minutes, epochs = machine["seconds"] / 60, config.get("epochs", 0.0)
    processor = re.sub(r"\(\w+\)| Processor", "", machine["processor"])
    return Run(config["seed"], epochs, minutes, processor, accuracy, steps)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The mean, and with two values or more their standard deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def markdown(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table, its first column to the left."""
    lines = [names, ["---"] + ["---:"] * (len(names) - 1), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def methods(results: Mapping[str, list[Run]]) -> str:
    """Every config at its end, beside the features that no training made."""
    rows = []
    for name, title in TITLES.items():
        if name in results:
            rows.append(_line(f"[{title}](configs/fashion_mnist/{name}.py)", results[name]))
    for name, title in TITLES.items():
        if f"{name}_long" in results:
            rows.append(_line(f"{title}, for longer", results[f"{name}_long"]))
    rows += baselines(results.get("byol", []))
    return markdown(NAMES, rows)


def quickstart(results: Mapping[str, list[Run]]) -> str:
    """The config of README's first command, likewise."""
    runs = results.get("quickstart", [])
    rows = [_line("[quickstart](configs/quickstart.py)", runs)] if runs else []
    return markdown(NAMES, rows + baselines(runs))


def baselines(runs: Sequence[Run]) -> list[list[str]]:
    """The rows of the features that no training made, of the first run that measured them."""
    rows = []
    for name in ("untrained", "raw pixels"):
        for run in [run for run in runs if name in run.accuracy][:1]:
            ends = [f"{run.accuracy[name][p]:.1f}" for p in PROTOCOLS]
            rows.append([name, *[""] * (len(NAMES) - 1 - len(ends)), *ends])
    return rows


def _line(title, runs):
    ends = [spread([run.accuracy["learned"][p] for run in runs]) for p in PROTOCOLS]
    minutes = spread([run.minutes for run in runs])
    processors = ", ".join(sorted({run.processor for run in runs}))
    return [title, len(runs), f"{runs[0].epochs:g}", minutes, processors, *ends]


def beside_lightly(results: Mapping[str, list[Run]]) -> str:
    """Ours and lightly's: after equal time, and at equal steps; and what ours have more, by seeds."""
    rows = []
    for name in PEERS:
        ours, theirs = pairs(results, name)
        if not ours:
            continue
        cells = [_accuracies(runs, theirs) for runs in (ours, theirs)]
        for who, runs, found in zip(("ours", "lightly"), (ours, theirs), cells, strict=True):
            steps = spread([run.steps["learned"] for run in runs], 0)
            rows.append([f"{TITLES[name]}, {who}", len(runs), steps, *map(spread, found)])
        more = [
            [a - b for a, b in zip(*column, strict=True)] for column in zip(*cells, strict=True)
        ]
        rows.append([f"{TITLES[name]}, ours have more", "", "", *map(spread, more)])
    names = ["", "seeds", "steps", "kNN", "linear", "linear, halfway", "linear, equal steps"]
    return markdown(names, rows)


def _accuracies(runs, theirs):
    """By seed: kNN and linear at the end, and linear at the two steps that lightly's runs share."""
    ends = [[run.accuracy["learned"][p] for run in runs] for p in PROTOCOLS]
    shared = zip(*map(common, theirs), strict=True)
    return ends + [
        [run.accuracy[step]["linear"] for run, step in zip(runs, steps, strict=True)]
        for steps in shared
    ]


def pairs(results: Mapping[str, list[Run]], name: str) -> tuple[list[Run], list[Run]]:
    """The runs of ours and of lightly with the same seeds."""
    theirs = {run.seed: run for run in results.get(f"lightly_{name}", [])}
    ours = [run for run in results.get(name, []) if run.seed in theirs]
    return ours, [theirs[run.seed] for run in ours]


def common(theirs: Run) -> list[str]:
    """Of a run of lightly, the names of the two steps at which ours was evaluated too."""
    return sorted(theirs.steps.keys() - {"learned"}, key=theirs.steps.get)


SECTIONS = {"methods": methods, "beside_lightly": beside_lightly, "quickstart": quickstart}


def readme(text: str, results: Mapping[str, list[Run]]) -> str:
    """The text with its sections made anew."""

    def made(match):
        return f"<!-- {match[1]} -->\n{SECTIONS[match[1]](results)}\n<!-- end -->"

    return SECTION.sub(made, text)


def digest(results: Mapping[str, list[Run]]) -> str:
    """Of what the picture shows."""
    shown = {name: runs for name, runs in results.items() if name.removeprefix("lightly_") in PEERS}
    return fingerprint(shown)


def fingerprint(shown: Any) -> str:
    """SHA-256 of what a picture shows, for its file to tell."""
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def picture(results: Mapping[str, list[Run]], file: pathlib.Path) -> None:
    """Draws linear accuracy against minutes; the file tells the digest of what it shows."""
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
        about = {"Date": None, "Description": digest(results)}
        drawing.savefig(file, metadata=about)


def main() -> None:
    results = read()
    README.write_text(readme(README.read_text(encoding="utf-8"), results), encoding="utf-8")
    picture(results, PICTURE)
    print(f"{README} and {PICTURE}: {sum(map(len, results.values()))} runs")


if __name__ == "__main__":
    main()
