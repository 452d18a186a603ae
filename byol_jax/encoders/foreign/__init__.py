"""Reading of weights that other projects trained, and their conversion.

`load` converts the weights of a supported project. `unpickle` extracts the arrays of a pickled
checkpoint, as a separate step before `load`. Neither runs code from a file.
"""

from byol_jax.encoders.foreign.names import Foreign, load
from byol_jax.encoders.foreign.unpickling import unpickle

__all__ = ["Foreign", "load", "unpickle"]
