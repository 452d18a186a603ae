"""Self-supervised image features in pure JAX.

Modules load when they are first used, so that `from byol_jax import losses` brings only jax, chex
and optax. The functions `load_encoder` and `embed_folder` are for trained encoders.
"""

import importlib

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


def __getattr__(name: str):
    """Imports a public module or function on first use; raises AttributeError for another name."""
    if name not in __all__:
        raise AttributeError(f"byol_jax has no {name!r}; it has {', '.join(__all__)}")
    module, function = _FUNCTIONS.get(name, (name, None))
    loaded = importlib.import_module(f"byol_jax.{module}")
    return getattr(loaded, function) if function else loaded


def __dir__() -> list[str]:
    """The public names."""
    return __all__
