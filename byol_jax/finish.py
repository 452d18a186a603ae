"""What is made of a run, at its end or later: its encoder's file, its accuracies, its report."""

from pathlib import Path

import rich
from ml_collections import ConfigDict

from byol_jax import checkpoint, evaluate, export, reporting, run
from byol_jax import encoder as encoders
from byol_jax.evaluation import table


def finish(
    ready: run.Run, state, checkpoints: checkpoint.Checkpoints
) -> dict[str, list[table.Row]]:
    """Writes the encoder of the last state, evaluates, and writes the report, as the config says.

    Returns what it measured: nothing without labels.
    """
    encoder = export.of_state(ready.config, ready.source, state)
    encoders.file.write(
        ready.workdir / encoders.file.NAME, encoder.params, encoder.stats, encoder.about
    )
    rows = _evaluate(ready, state, checkpoints) if ready.splits is not None else {}
    if ready.config.report:
        page = ready.workdir / "report.html"
        reporting.write([ready.workdir], page)
        rich.print(f"report: {page}")
    return rows


def evaluate_run(config: ConfigDict, workdir: str) -> dict[str, list[table.Row]]:
    """Evaluates checkpoints of a workdir: those of config.evaluate.steps.

    Raises ValueError where the data has no labels, or the config no protocols.
    """
    ready = run.prepare(config, workdir, keeps=False)
    if not config.evaluate.protocols:
        raise ValueError("evaluate.protocols is empty; name some, such as ('knn', 'linear').")
    if ready.splits is None:
        ready.source.require_labels()
    with checkpoint.Checkpoints(ready.workdir, keep=None) as checkpoints:
        return _evaluate(ready, checkpoints.restore(ready.first), checkpoints)


def evaluate_encoder(
    config: ConfigDict, file: str | Path, workdir: str | Path | None
) -> dict[str, list[table.Row]]:
    """Evaluates the encoder of a file on the data set of the config; `workdir` gets the results."""
    encoder = encoders.load(file)
    side, width, _ = encoder.about.image_shape
    with config.unlocked():
        config.data.image_size = config.data.image_size or side
    if side != width:
        raise ValueError(f"{file} wants pictures of {side} x {width}; they have to be square here.")
    sources = evaluate.open_data(config)
    if sources[0].num_channels != encoder.about.image_shape[-1]:
        raise ValueError(
            f"{file} takes {encoder.about.image_shape[-1]} channels, and the pictures of "
            f"{sources[0].name!r} have {sources[0].num_channels}; choose another data set."
        )
    told = {"encoder": str(file)}
    found = {"learned": evaluate.Candidate(encoder, encoder.about.step, encoder, told)}
    if "raw pixels" in config.evaluate.baselines:
        found["raw pixels"] = evaluate.Candidate(evaluate.pixels, 0, None)
    return _show(evaluate.evaluate(config, workdir, sources, found))


def export_run(config: ConfigDict, workdir: str, step: int | None) -> encoders.Encoder:
    """The encoder of a checkpoint of a workdir, the newest one without a step."""
    ready = run.prepare(config, workdir, keeps=False)
    with checkpoint.Checkpoints(ready.workdir, keep=None) as checkpoints:
        state = checkpoints.restore(ready.first, step=step)
    return export.of_state(config, ready.source, state)


def _evaluate(ready, last, checkpoints):
    states = {}
    for which in ready.config.evaluate.steps:
        if which == "last":
            states["learned"] = last
        elif which == "best":
            states["best"] = _best(ready, checkpoints)
        else:
            states[f"step {which}"] = checkpoints.restore(ready.first, step=which)
    wanted = ready.config.evaluate.baselines
    if "untrained" in wanted:
        states["untrained"] = ready.first
    about = {
        name: export.about(ready.config, ready.source, int(state.step))
        for name, state in states.items()
    }
    found = evaluate.run_candidates(ready.parts.encode, states, about, wanted)
    return _show(evaluate.evaluate(ready.config, ready.workdir, ready.splits, found))


def _best(ready, checkpoints):
    """Of the checkpoints that are kept, the state best by kNN on a tenth of the training split."""
    best, accuracy = None, -1.0
    for step in checkpoints.steps():
        state = checkpoints.restore(ready.first, step=step)
        about = {"": export.about(ready.config, ready.source, step)}
        found = evaluate.run_candidates(ready.parts.encode, {"": state}, about, ())
        measured = evaluate.validation_accuracy(found[""], ready.splits[0])
        rich.print(f"step {step}: {measured:.2%} by kNN on a tenth of the training split")
        if measured >= accuracy:
            best, accuracy = state, measured
    return best


def _show(rows):
    rich.print(table.table(rows))
    return rows
