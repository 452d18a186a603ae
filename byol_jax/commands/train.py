"""python -m byol_jax train: train an encoder, or resume a run."""

import argparse

from byol_jax import hosts
from byol_jax.commands import arguments
from byol_jax.system import xla
from byol_jax.training import loop, train

EXAMPLE = "train --config=configs/quickstart.py --workdir=runs/quickstart --config.epochs=2"


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `train`."""
    parser.add_config("config file of the experiment")
    parser.add_argument("--workdir", metavar="FOLDER", help="where checkpoints and results go")
    several = parser.add_argument_group("several processes as one run")
    several.add_argument(
        "--distributed",
        action="store_true",
        help="take the processes from the environment of SLURM, TPU, GKE or Open MPI",
    )
    several.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 listens")
    several.add_argument("--num_processes", type=int, metavar="N", help="number of processes")
    several.add_argument("--process_id", type=int, metavar="N", help="which this is, from 0")
    several.add_argument(
        "--timeout", type=int, default=300, metavar="SECONDS", help="time to wait for the others"
    )
    parser.require("workdir")


def run(flags: argparse.Namespace) -> int:
    """Trains; the exit code is hosts.PREEMPTED where the run was told to stop, and has saved."""
    xla.keep_compiled()
    place = (flags.coordinator, flags.num_processes, flags.process_id)
    several = flags.distributed or place != (None, None, None)
    cluster = train.Cluster(*place, flags.timeout) if several else None
    config = arguments.load_config(flags)
    try:
        train.train(config, flags.workdir, cluster=cluster)
    except loop.Preempted as stop:
        print(f"byol_jax: {stop}", flush=True)
        return hosts.PREEMPTED
    return 0
