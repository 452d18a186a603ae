"""BYOL itself.

    python -m byol_jax train --config=configs/collapse/byol.py --workdir=runs/collapse/byol

Published: 72.5 top-1, linear, ImageNet, 300 epochs (BYOL, table 5).
Ours: not run yet.
"""

from byol_jax import config as fields


def get_config():
    """The experiment."""
    config = fields.collapse()
    config.published = 72.5
    return config
