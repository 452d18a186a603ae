"""Weights made elsewhere: what is in a file, as arrays of ours. No file can run code.

`load` reads weights; `unpickle` is a step of its own, for checkpoints that are pickles.
"""

from byol_jax.encoders.foreign.names import Foreign, load
from byol_jax.encoders.foreign.unpickling import unpickle

__all__ = ["Foreign", "load", "unpickle"]
