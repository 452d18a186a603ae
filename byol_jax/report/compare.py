"""Finished runs side by side, from the files that they left in their workdirs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

_LAST = 5  # lines of metrics whose mean stands for the end of a run


class Run(NamedTuple):
    """What a run wrote: its config, its lines of metrics by step, and its evaluation."""

    name: str
    config: dict[str, Any]
    lines: list[dict[str, float]]
    evaluation: dict[str, Any]


def read(workdir: str) -> Run:
    """Reads a workdir; raises FileNotFoundError where the run is not finished and evaluated."""
    folder = Path(workdir)
    for name in ("config.json", "metrics.jsonl", "evaluation.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} has no {name}; give the --workdir of runs that trained to their end and "
                "were evaluated."
            )
    config, evaluation = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("config.json", "evaluation.json")
    )
    text = (folder / "metrics.jsonl").read_text(encoding="utf-8")
    return Run(folder.name, config, [json.loads(line) for line in text.splitlines()], evaluation)


def markdown(runs: Sequence[Run]) -> str:
    """A table of the runs: accuracies in percent, measures of collapse, the paper's number."""
    rows = [_row(run) for run in runs]
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] + ["---:"] * (len(names) - 1)]
    lines += [[row.get(name, "–") for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(run: Run) -> dict[str, str]:
    row = {"run": run.name}
    for result in run.evaluation["accuracy"]["learned"]:
        row[result["protocol"]] = f"{100 * result['accuracy']:.1f}"
    row["projection spread"] = f"{_end(run, 'spread'):.3f}"
    row["feature spread"] = f"{_end(run, 'feature_spread'):.3f}"
    row["effective rank"] = f"{run.evaluation['measures']['learned']['effective_rank']:.1f}"
    if run.config.get("published") is not None:
        row["published"] = f"{run.config['published']:g}"
    return row


def _end(run, metric) -> float:
    values = [line[metric] for line in run.lines[-_LAST:]]
    return sum(values) / len(values)


def picture(runs: Sequence[Run], metric: str, file: str) -> None:
    """Draws a metric of the runs against the step; the file's suffix says the format.

    Raises ImportError, naming the extra, when matplotlib is missing.
    """
    try:
        from matplotlib import figure
    except ImportError as error:
        raise ImportError(
            "a picture needs matplotlib; run pip install 'byol_jax[plot]'."
        ) from error
    drawing = figure.Figure(figsize=(7, 4), layout="constrained")
    axes = drawing.subplots()
    for number, run in enumerate(runs):
        steps = [line["step"] for line in run.lines]
        values = [line[metric] for line in run.lines]
        style = ("-", "--", ":", "-.")[number // 4 % 4]  # told apart without colours too
        axes.plot(steps, values, style, label=run.name)
    axes.set(xlabel="step", ylabel=metric.replace("_", " "), ylim=(0, None))
    axes.grid(alpha=0.3)
    drawing.legend(loc="outside lower center", fontsize="small", ncols=4)
    drawing.savefig(file)
