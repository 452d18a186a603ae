"""The command `compare`: print a table that compares finished runs."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from byol_jax import errors, workdir
from byol_jax.commands import arguments
from byol_jax.system import paths

EXAMPLE = "compare runs/a runs/b --picture=spread.svg --metric=spread"
_LAST_LINES = 5  # The table shows the mean of a metric over this many last logged steps.


class Run(NamedTuple):
    """The files of a finished run, as read from its workdir.

    Attributes:
        name: The name of the workdir's folder.
        config: The config as nested dicts.
        lines: The logged metrics, one dict per logged step.
        evaluation: The results of the evaluation.
    """

    name: str
    config: dict[str, Any]
    lines: list[dict[str, float]]
    evaluation: dict[str, Any]


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `compare`."""
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="workdirs of runs that were trained and evaluated"
    )
    parser.add_argument(
        "--picture",
        metavar="FILE",
        help="also draw a metric of the runs against the training step into this file; its suffix "
        "sets the format, such as .svg or .png (needs the extra plot)",
    )
    parser.add_argument(
        "--metric",
        default="spread",
        metavar="NAME",
        help="name of the metric that --picture draws; see metrics.jsonl for the logged metrics",
    )


def run(flags: argparse.Namespace) -> None:
    """Prints the table of runs and draws the plot of their metrics."""
    if not flags.runs:
        raise errors.UserError("compare needs the workdirs of finished runs: compare RUN [RUN …]")
    runs = [read(folder) for folder in flags.runs]
    print(markdown(runs))
    if flags.picture:
        picture(runs, flags.metric, flags.picture)
        print(f"wrote {flags.picture}")


def read(folder: str | Path) -> Run:
    """Reads the config, the metrics and the evaluation of a finished run.

    Args:
        folder: The workdir of a run.

    Returns:
        The contents of its files.

    Raises:
        FileNotFoundError: The run is not finished or was not evaluated.
    """
    path = paths.local(folder)
    for name in (workdir.CONFIG, workdir.METRICS, workdir.EVALUATION):
        if not (path / name).is_file():
            raise FileNotFoundError(
                f"{path} has no {name}; give the workdirs of runs that finished training and were "
                "evaluated."
            )
    return Run(
        path.resolve().name,
        workdir.read_config(path),
        workdir.read_metrics(path),
        workdir.read_evaluation(path),
    )


def markdown(runs: Sequence[Run]) -> str:
    """Formats runs as a Markdown table with one row per run.

    The columns are the accuracies in percent, measures of collapse, and, if a config names it, the
    accuracy that the paper published.

    Args:
        runs: Finished runs.

    Returns:
        The table, without a final newline.
    """
    rows = [_row(run) for run in runs]
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] + ["---:"] * (len(names) - 1)]
    lines += [[row.get(name, "–") for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(run: Run) -> dict[str, str]:
    row = {"run": run.name}
    for result in run.evaluation["accuracy"]["learned"]:
        row[result["protocol"]] = f"{100 * result['accuracy']:.1f}"
    row["projection spread"] = f"{_final_mean(run, 'spread'):.3f}"
    row["feature spread"] = f"{_final_mean(run, 'feature_spread'):.3f}"
    row["effective rank"] = f"{run.evaluation['measures']['learned']['effective_rank']:.1f}"
    if run.config.get("published") is not None:
        row["published"] = f"{run.config['published']:g}"
    return row


def _final_mean(run: Run, metric: str) -> float:
    values = [line[metric] for line in run.lines[-_LAST_LINES:]]
    return sum(values) / len(values)


def picture(runs: Sequence[Run], metric: str, file: str) -> None:
    """Draws a metric of several runs against the training step.

    Args:
        runs: The runs, one line each.
        metric: The name of a logged metric, such as "spread".
        file: The image file to write; its suffix sets the format.

    Raises:
        MissingExtra: matplotlib is not installed.
        UserError: The runs do not log this metric.
    """
    try:
        from matplotlib import figure
    except ImportError as error:
        raise errors.missing_extra("plot", "--picture needs matplotlib") from error
    metric_names = set()
    for run in runs:
        for line in run.lines:
            metric_names.update(line)
    choices = sorted(metric_names - {"step"})
    if metric not in choices:
        near = arguments.near(metric, choices)
        names = ", ".join(choices)
        raise errors.UserError(
            f"the runs do not log {metric!r}{near}; set --metric to one of {names}."
        )
    drawing = figure.Figure(figsize=(7, 4), layout="constrained")
    axes = drawing.subplots()
    for number, run in enumerate(runs):
        steps = [line["step"] for line in run.lines]
        values = [line[metric] for line in run.lines]
        style = ("-", "--", ":", "-.")[number // 4 % 4]  # distinguishes runs without color too
        axes.plot(steps, values, style, label=run.name)
    axes.set(xlabel="step", ylabel=metric.replace("_", " "), ylim=(0, None))
    axes.grid(alpha=0.3)
    drawing.legend(loc="outside lower center", fontsize="small", ncols=4)
    drawing.savefig(file)
