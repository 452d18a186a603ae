"""After the last step: the encoder's file, the accuracies, the report."""

from byol_jax import checkpoint, encoders, workdir
from byol_jax.builders import encoder as build_encoder
from byol_jax.evaluation import table
from byol_jax.report import contents
from byol_jax.training import measure, start


def finish(
    experiment: start.Experiment, state, checkpoints: checkpoint.Checkpoints
) -> dict[str, list[table.Row]]:
    """Writes the encoder of the last state, evaluates, and writes the report, as the config says.

    Prints the table of accuracies, and the files that it writes.

    Returns:
        The rows of the table by candidate: none without labels.
    """
    config, folder = experiment.config, experiment.workdir
    encoder = build_encoder.of_state(config, experiment.parts.method, experiment.source, state)
    encoders.file.write(folder / workdir.ENCODER, encoder.params, encoder.stats, encoder.about)
    print(f"wrote {folder / workdir.ENCODER}")
    rows = {}
    if experiment.splits is not None:
        rows = measure.measure_run(experiment, state, checkpoints)
    if config.report:
        contents.write([folder], folder / workdir.REPORT)
        print(f"wrote {folder / workdir.REPORT}")
    return rows
