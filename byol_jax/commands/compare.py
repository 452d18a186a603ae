"""python -m byol_jax compare: print a table of finished runs, from the files in their workdirs."""

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

from byol_jax import errors, workdir
from byol_jax.commands import arguments
from byol_jax.system import paths

EXAMPLE = "compare runs/a runs/b --picture=spread.svg --metric=spread"
_LAST = 5  # lines of metrics whose mean stands for the end of a run


class Run(NamedTuple):
    """What a run wrote: its config, its lines of metrics by step, and its evaluation."""

    name: str
    config: dict[str, Any]
    lines: list[dict[str, float]]
    evaluation: dict[str, Any]


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `compare`."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help="workdirs of finished runs")
    parser.add_argument("--picture", metavar="FILE", help="a file to draw --metric into")
    parser.add_argument(
        "--metric", default="spread", metavar="NAME", help="what --picture draws against the step"
    )


def run(flags: argparse.Namespace) -> None:
    """Prints the table, and draws the picture."""
    if not flags.runs:
        raise errors.UserError("compare needs the workdirs of finished runs: compare RUN [RUN …]")
    runs = [read(folder) for folder in flags.runs]
    print(markdown(runs))
    if flags.picture:
        picture(runs, flags.metric, flags.picture)
        print(f"wrote {flags.picture}")


def read(folder: str) -> Run:
    """Reads a workdir; raises FileNotFoundError where the run is not finished and evaluated."""
    folder = paths.local(folder)
    for name in (workdir.CONFIG, workdir.METRICS, workdir.EVALUATION):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} has no {name}; give the --workdir of runs that trained to their end and "
                "were evaluated."
            )
    return Run(
        folder.resolve().name,
        workdir.read_config(folder),
        workdir.read_metrics(folder),
        workdir.read_evaluation(folder),
    )


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
        raise errors.missing_extra("plot", "--picture needs matplotlib") from error
    known = sorted({name for run in runs for line in run.lines for name in line} - {"step"})
    if metric not in known:
        raise errors.UserError(
            f"--metric={metric}: the runs log no {metric!r}{arguments.near(metric, known)}; they "
            f"log {', '.join(known)}."
        )
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
