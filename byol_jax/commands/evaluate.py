"""The command `evaluate`: evaluate a trained encoder by kNN, linear classifiers or fine-tuning."""

import argparse
from pathlib import Path

from ml_collections import ConfigDict

from byol_jax import checkpoint, encoders, errors
from byol_jax.builders import inputs
from byol_jax.commands import arguments
from byol_jax.config import check
from byol_jax.evaluation import table
from byol_jax.system import xla
from byol_jax.training import measure, start

EXAMPLE = "evaluate --workdir=runs/quickstart --protocol=knn,linear"


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `evaluate`."""
    parser.add_argument(
        "--workdir",
        metavar="FOLDER",
        help="workdir of the run to evaluate, where evaluation.json is written; with --encoder, "
        "only the folder in which to write evaluation.json",
    )
    parser.add_argument(
        "--encoder",
        metavar="FILE",
        help="encoder file to evaluate instead of a run, on the data set that --config.data.name "
        "names",
    )
    parser.add_argument(
        "--protocol",
        metavar="NAME[,NAME…]",
        help="evaluation protocols: knn, linear, logistic, probe, finetune, semi; by default those "
        "of the config",
    )
    parser.add_config(
        "config file; by default the run's config, or with --encoder the default config",
        required=False,
    )


def run(flags: argparse.Namespace) -> None:
    """Evaluates an encoder; prints its accuracies and the names of the files it writes."""
    if (flags.encoder or flags.workdir) is None:
        raise errors.UserError("evaluate needs --workdir (a run) or --encoder (an encoder file).")
    xla.keep_compiled()
    config = arguments.load_config(flags)
    if flags.protocol:
        config.evaluate.protocols = tuple(flags.protocol.split(","))
    if flags.encoder:
        evaluate_encoder(config, flags.encoder, flags.workdir)
    else:
        evaluate_run(config, flags.workdir)


def evaluate_run(config: ConfigDict, folder: str | Path) -> dict[str, list[table.Row]]:
    """Evaluates a run's checkpoints, as selected by config.evaluate.steps.

    Prints the accuracies as a table and writes them to the run's evaluation.json.

    Args:
        config: The experiment's config.
        folder: The workdir of the run.

    Returns:
        The rows of results by the name of the features: "learned", "best" or "step N" for
        checkpoints, and the baselines of config.evaluate.baselines.

    Raises:
        UserError: The data has no labels, or config.evaluate.protocols is empty.
    """
    check.check(config, complete=False)
    if not config.evaluate.protocols:
        raise errors.UserError(
            "evaluate.protocols is empty; set it, for example to ('knn', 'linear').",
            section="evaluate.protocols",
        )
    experiment = start.prepare(config, folder, writes=False)
    if experiment.splits is None:
        experiment.source.require_labels()
    with checkpoint.Checkpoints(experiment.workdir, keep=None) as checkpoints:
        newest = checkpoints.restore(experiment.first)
        return measure.measure_run(experiment, newest, checkpoints)


def evaluate_encoder(
    config: ConfigDict, file: str | Path, folder: str | Path | None
) -> dict[str, list[table.Row]]:
    """Evaluates the encoder in a file on the config's data set.

    Prints the accuracies as a table.

    Args:
        config: The config with the data set and the evaluation's settings. Its data.image_size is
            set to the encoder's if it is None.
        file: The encoder file.
        folder: The folder in which to write evaluation.json; None writes no file.

    Returns:
        The rows of results by the name of the features: "learned", and "raw pixels" if
        config.evaluate.baselines contains it.

    Raises:
        UserError: The data set has a different number of channels than the encoder expects, or the
            encoder expects images that are not square.
    """
    check.check_fields(config, complete=False)
    check.check_evaluation(config)
    encoder = encoders.load(file)
    height, width, channels = encoder.info.image_shape
    if height != width:
        raise errors.UserError(
            f"{file} expects images of {height} x {width} pixels, but evaluate supports square "
            "images only."
        )
    with config.unlocked():
        config.data.image_size = config.data.image_size or height
    sources = inputs.open_evaluation(config)
    data_name = sources[0].name
    data_channels = sources[0].num_channels
    if data_channels != channels:
        raise errors.UserError(
            f"{file} expects images with {channels} channels, but the images of {data_name!r} "
            f"have {data_channels}; choose another data set."
        )
    settings = {"encoder": str(file)}
    candidates = {"learned": measure.Candidate(encoder, encoder.info.step, encoder, settings)}
    if "raw pixels" in config.evaluate.baselines:
        candidates["raw pixels"] = measure.Candidate(measure.pixels, 0, None)
    return measure.evaluate(config, folder, sources, candidates)
