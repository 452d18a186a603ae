"""Experiment configs: their fields and defaults, schema, checks, overrides and files.

A config file starts from `config.default()`, or from a base in `config.bases` for its data set.
"""

from byol_jax.config.fields import default

__all__ = ["default"]
