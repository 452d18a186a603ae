"""Trains methods for five steps as one of several processes, for tests/test_trajectories.py.

    python -m support.trajectories FOLDER NUM_PROCESSES PROCESS_ID PORT METHOD [METHOD …]

FOLDER gets a workdir for each method, with the losses, the checkpoints of steps 3 and 5, and the
examples that each process read at each step.
"""

import json
import os
import pathlib
import sys

# Compilation takes most of the time, and it is fastest without optimization.
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"

import jax
import numpy as np

from support import runs


def config_of(kind):
    """Returns a config for five steps of 16 images each."""
    config = runs.small(kind)
    config.data.train_split = "train[:80]"
    config.epochs = 1
    view = {"name": "plain", "order": ("crop", "flip"), "size": 8}
    config.views = {"first": view, "second": view}
    config.log_every_steps = 1
    config.checkpoint_every_steps = 3
    config.keep_checkpoints = 3
    config.evaluate.protocols = ()
    config.report = False
    return config


def main(folder, num_processes, process_id, port, *kinds):
    """Connects the processes if there are several, and trains each method."""
    from byol_jax import hosts
    from byol_jax.system import devices
    from byol_jax.training import train

    jax.config.update("jax_default_matmul_precision", "highest")
    if num_processes > 1:
        place = hosts.Place(f"127.0.0.1:{port}", num_processes, process_id)
        hosts.connect(place, {}, timeout=120)
    original_shard = devices.shard
    for kind in kinds:
        indices = []

        def shard(batch, indices=indices):
            indices.append(np.asarray(batch["index"]).tolist())
            return original_shard(batch)

        devices.shard = shard
        workdir = pathlib.Path(folder, kind)
        train.train(config_of(kind), workdir)
        (workdir / f"seen_{process_id}.json").write_text(json.dumps(indices))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]), *sys.argv[5:])
