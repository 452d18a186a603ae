"""Self-supervised image features in pure JAX.

A public module loads at its first use: `from byol_jax import losses` imports only jax, chex and
optax. `load_encoder` and `embed_folder` apply trained encoders.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # lets type checkers and editors see the names that __getattr__ imports
    from byol_jax import augment as augment
    from byol_jax import collectives as collectives
    from byol_jax import data as data
    from byol_jax import ema as ema
    from byol_jax import errors as errors
    from byol_jax import evaluation as evaluation
    from byol_jax import losses as losses
    from byol_jax import memory_bank as memory_bank
    from byol_jax import methods as methods
    from byol_jax import metrics as metrics
    from byol_jax import networks as networks
    from byol_jax import optimizers as optimizers
    from byol_jax import randomness as randomness
    from byol_jax import ring_buffer as ring_buffer
    from byol_jax import train_state as train_state
    from byol_jax import train_step as train_step
    from byol_jax.commands.embed import embed_folder as embed_folder
    from byol_jax.encoders import load as load_encoder

__version__ = "0.1.0"

__all__ = [
    "augment",
    "collectives",
    "data",
    "ema",
    "embed_folder",
    "errors",
    "evaluation",
    "load_encoder",
    "losses",
    "memory_bank",
    "methods",
    "metrics",
    "networks",
    "optimizers",
    "randomness",
    "ring_buffer",
    "train_state",
    "train_step",
]
_FUNCTIONS = {
    "embed_folder": ("commands.embed", "embed_folder"),
    "load_encoder": ("encoders", "load"),
}

if not TYPE_CHECKING:  # so that type checkers report misspelled names

    def __getattr__(name: str) -> Any:
        """Imports a public module or function at its first use."""
        if name not in __all__:
            names = ", ".join(__all__)
            raise AttributeError(f"byol_jax has no attribute {name!r}; its attributes are {names}")
        module, function = _FUNCTIONS.get(name, (name, None))
        loaded = importlib.import_module(f"byol_jax.{module}")
        return getattr(loaded, function) if function else loaded


def __dir__() -> list[str]:
    return __all__
