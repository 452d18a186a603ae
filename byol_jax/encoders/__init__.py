"""Trained encoders: files, computation of features, and weights from other projects.

`load` reads an encoder file. `foreign` converts weights that other projects trained.
"""

from byol_jax.encoders import card, feature_file, file, foreign
from byol_jax.encoders.encoder import Encoder, load
from byol_jax.encoders.file import EncoderInfo

__all__ = ["EncoderInfo", "Encoder", "card", "file", "foreign", "load", "feature_file"]
