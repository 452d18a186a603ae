"""After training: export the encoder, evaluate it, and write the report."""

from byol_jax import checkpoint, encoders, train_state, workdir
from byol_jax.builders import encoder as build_encoder
from byol_jax.evaluation import table
from byol_jax.report import contents
from byol_jax.training import measure, start


def finish(
    experiment: start.Experiment,
    state: train_state.TrainState,
    checkpoints: checkpoint.Checkpoints,
) -> dict[str, list[table.Row]]:
    """Exports the encoder of a finished run, evaluates it, and writes the report.

    The evaluation needs labels, and config.report says whether to write a report. Prints the table
    of accuracies and the names of the files.

    Args:
        experiment: The experiment.
        state: The last train state, on the host.
        checkpoints: The checkpoints of the run.

    Returns:
        The results by candidate; empty if the run is not evaluated.
    """
    config = experiment.config
    folder = experiment.workdir
    # The encoder comes first, so that it exists even if the evaluation fails.
    encoder = build_encoder.of_state(config, experiment.parts.method, experiment.source, state)
    encoders.file.write(folder / workdir.ENCODER, encoder.params, encoder.stats, encoder.info)
    print(f"wrote {folder / workdir.ENCODER}")
    rows = {}
    if experiment.splits is not None:
        rows = measure.measure_run(experiment, state, checkpoints)
    if config.report:
        contents.write([folder], folder / workdir.REPORT)
        print(f"wrote {folder / workdir.REPORT}")
    return rows
