"""python -m byol_jax evaluate: measure the features of a run, or of an encoder's file."""

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
        "--workdir", metavar="FOLDER", help="a run; with --encoder, where the results go"
    )
    parser.add_argument("--encoder", metavar="FILE", help="an encoder's file, in place of a run")
    parser.add_argument(
        "--protocol",
        metavar="NAME[,NAME…]",
        help="knn, linear, logistic, probe, finetune, semi; those of the config unless set",
    )
    parser.add_config("config file, in place of the run's own", required=False)


def run(flags: argparse.Namespace) -> None:
    """Evaluates, and prints the table and the files that it writes."""
    if flags.workdir is None and flags.encoder is None:
        raise errors.UserError("evaluate needs --workdir, a run, or --encoder, a file.")
    xla.keep_compiled()
    config = arguments.load_config(flags)
    if flags.protocol:
        config.evaluate.protocols = tuple(flags.protocol.split(","))
    if flags.encoder:
        evaluate_encoder(config, flags.encoder, flags.workdir)
    else:
        evaluate_run(config, flags.workdir)


def evaluate_run(config: ConfigDict, folder: str) -> dict[str, list[table.Row]]:
    """Evaluates checkpoints of a workdir: those of config.evaluate.steps.

    Raises:
        UserError: where the data has no labels, or the config no protocols.
    """
    check.check(config, complete=False)
    if not config.evaluate.protocols:
        raise errors.UserError(
            "evaluate.protocols is empty; name some, such as ('knn', 'linear').",
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
    """Evaluates the encoder of a file on the data set of the config; `folder` gets the results.

    Raises:
        UserError: where the data set does not suit the encoder.
    """
    check.check_fields(config, complete=False)
    check.check_evaluation(config)
    encoder = encoders.load(file)
    height, width, channels = encoder.about.image_shape
    if height != width:
        raise errors.UserError(
            f"{file} takes images of {height} x {width}; evaluate supports square images only."
        )
    with config.unlocked():
        config.data.image_size = config.data.image_size or height
    sources = inputs.open_evaluation(config)
    if sources[0].num_channels != channels:
        raise errors.UserError(
            f"{file} takes {channels} channels, and the pictures of {sources[0].name!r} have "
            f"{sources[0].num_channels}; choose another data set."
        )
    about = {"encoder": str(file)}
    candidates = {"learned": measure.Candidate(encoder, encoder.about.step, encoder, about)}
    if "raw pixels" in config.evaluate.baselines:
        candidates["raw pixels"] = measure.Candidate(measure.pixels, 0, None)
    return measure.evaluate(config, folder, sources, candidates)
