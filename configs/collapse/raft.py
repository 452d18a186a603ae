"""RAFT, which runs away from the target (arXiv 2011.10944).

    python -m byol_jax train --config=configs/collapse/raft.py --workdir=runs/collapse/raft

Its paper has no such number.
Ours: not run yet.
"""

from byol_jax import config as fields


def get_config():
    """The experiment."""
    config = fields.collapse()
    config.method = {"name": "raft", "decay": 0.9}
    return config
