"""The config of an experiment: its fields, the schema of its sections, and the checks of both.

`config.default()` is where a config file begins; `config.bases` has what those of a data set share.
"""

from byol_jax.config.fields import default

__all__ = ["default"]
