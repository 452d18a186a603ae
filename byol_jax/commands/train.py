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
    several = parser.add_argument_group("training with several processes")
    several.add_argument(
        "--distributed",
        action="store_true",
        help="read --coordinator, --num_processes and --process_id from the environment of SLURM, "
        "Cloud TPU, GKE or Open MPI",
    )
    several.add_argument(
        "--coordinator", metavar="HOST:PORT", help="address at which process 0 listens"
    )
    several.add_argument(
        "--num_processes", type=int, metavar="N", help="number of processes of this run"
    )
    several.add_argument(
        "--process_id",
        type=int,
        metavar="I",
        help="number of this process, from 0 to num_processes - 1",
    )
    several.add_argument(
        "--timeout",
        type=int,
        default=300,
        metavar="SECONDS",
        help="time to wait for the other processes at the start",
    )
    parser.require("workdir")


def run(flags: argparse.Namespace) -> int:
    """Trains an encoder; returns hosts.PREEMPTED if the run stopped because it was asked to."""
    xla.keep_compiled()
    is_placed = (flags.coordinator, flags.num_processes, flags.process_id) != (None, None, None)
    cluster = None
    if flags.distributed or is_placed:
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
