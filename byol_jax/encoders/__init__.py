"""A trained encoder by itself: one file that holds it, and a function from images to features."""

from byol_jax.encoders import card, feature_file, file, foreign
from byol_jax.encoders.encoder import Encoder, load
from byol_jax.encoders.file import About

__all__ = ["About", "Encoder", "card", "file", "foreign", "load", "feature_file"]
