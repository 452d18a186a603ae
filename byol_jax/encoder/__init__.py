"""A trained encoder by itself: one file that holds it, and a function from images to features."""

from byol_jax.encoder import card, file, foreign, rows
from byol_jax.encoder.encoder import Encoder, load
from byol_jax.encoder.file import About

__all__ = ["About", "Encoder", "card", "file", "foreign", "load", "rows"]
