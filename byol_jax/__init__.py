"""Self-supervised image features in pure JAX.

Modules load when they are first used, so that `from byol_jax import losses` brings only jax, chex
and optax.
"""

import importlib

__version__ = "0.1.0"

__all__ = [
    "augment",
    "collectives",
    "ema",
    "evaluation",
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


def __getattr__(name: str):
    """Imports the public module `name` on first use; raises AttributeError for any other name."""
    if name not in __all__:
        raise AttributeError(f"byol_jax has no module {name!r}; it has {', '.join(__all__)}")
    return importlib.import_module(f"byol_jax.{name}")


def __dir__() -> list[str]:
    """The public modules."""
    return __all__
