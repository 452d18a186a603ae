"""The command `train`: train an encoder, or resume a run."""

import argparse

from byol_jax import hosts
from byol_jax.commands import arguments
from byol_jax.system import xla
from byol_jax.training import loop, train

EXAMPLE = "train --config=configs/quickstart.py --workdir=runs/quickstart --config.epochs=2"


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `train`."""
    parser.add_config("config file of the experiment")
    parser.add_argument(
        "--workdir",
        metavar="FOLDER",
        help="folder for checkpoints, metrics and results; if it has checkpoints of this "
        "experiment, training resumes from the newest",
    )
    parser.add_cluster()
    parser.require("workdir")


def run(flags: argparse.Namespace) -> int:
    """Trains an encoder; returns hosts.PREEMPTED if the run stopped because it was asked to."""
    xla.keep_compiled()
    cluster = None
    if arguments.is_distributed(flags):
        cluster = train.Cluster(
            coordinator=flags.coordinator,
            num_processes=flags.num_processes,
            process_id=flags.process_id,
            timeout=flags.timeout,
        )
    config = arguments.load_config(flags)
    try:
        train.train(config, flags.workdir, cluster=cluster)
    except loop.Preempted as error:
        print(f"byol_jax: {error}", flush=True)
        return hosts.PREEMPTED
    return 0
