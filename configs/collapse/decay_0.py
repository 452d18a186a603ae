"""BYOL without a moving average (SimSiam): the target is the online network, stopped.

    python -m byol_jax train --config=configs/collapse/decay_0.py --workdir=runs/collapse/decay_0

Published: 0.3 top-1, linear, ImageNet, 300 epochs (BYOL, table 5).
Ours: not run yet.
"""

from byol_jax import config as fields


def get_config():
    """The experiment."""
    config = fields.collapse()
    config.method = {"name": "byol", "decay": 0.0, "decay_schedule": "constant"}
    config.published = 0.3
    return config
