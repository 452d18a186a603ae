"""BYOL with a target that stays as it was drawn.

    python -m byol_jax train --config=configs/collapse/decay_1.py --workdir=runs/collapse/decay_1

Published: 18.8 top-1, linear, ImageNet, 300 epochs (BYOL, table 5).
Ours: not run yet.
"""

from byol_jax import config as fields


def get_config():
    """The experiment."""
    config = fields.collapse()
    config.method = {"name": "byol", "decay": 1.0, "decay_schedule": "constant"}
    config.published = 18.8
    return config
