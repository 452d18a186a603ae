"""Images from disk: `prepare` makes a data set, `open_source` opens one, `batches` reads it.

Each loads when it is first used, so that the processes which prepare pictures load only Pillow.
"""

import importlib

_HOMES = {
    "Crops": "crops",
    "Prefetch": "prefetch",
    "Reader": "source",
    "Report": "preparation.outcome",
    "Source": "source",
    "batches": "loader",
    "open_source": "source",
    "outline": "source",
    "prepare": "preparation.prepare",
}
__all__ = [
    "Crops",
    "Prefetch",
    "Reader",
    "Report",
    "Source",
    "batches",
    "open_source",
    "outline",
    "prepare",
]


def __getattr__(name: str):
    """Imports a public name on first use; raises AttributeError for any other name."""
    if name not in _HOMES:
        raise AttributeError(f"byol_jax.data has no {name!r}; it has {', '.join(_HOMES)}")
    return getattr(importlib.import_module(f"byol_jax.data.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__
