"""BYOL without its predictor: the unsupervised Mean Teacher.

    python -m byol_jax train --config=configs/collapse/no_predictor.py --workdir=runs/collapse/no_predictor

Published: 0.2 top-1, linear, ImageNet, 300 epochs (BYOL, table 5).
Ours: not run yet.
"""

from byol_jax import config as fields


def get_config():
    """The experiment."""
    config = fields.collapse()
    config.predictor = {}
    config.published = 0.2
    return config
