"""Data sets of images: `prepare` writes one, `open_source` opens one, `batches` reads batches.

Each name is imported on first use, so that the processes which prepare images import only Pillow.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names as below, for type checkers and editors
    from byol_jax.data.crops import Crops as Crops
    from byol_jax.data.loader import batches as batches
    from byol_jax.data.prefetch import Prefetch as Prefetch
    from byol_jax.data.preparation.outcome import Report as Report
    from byol_jax.data.preparation.prepare import prepare as prepare
    from byol_jax.data.source import Reader as Reader
    from byol_jax.data.source import Source as Source
    from byol_jax.data.source import open_source as open_source
    from byol_jax.data.source import outline as outline

_MODULES = {
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


def __getattr__(name: str) -> Any:
    """Imports a public name on first use."""
    if name not in _MODULES:
        names = ", ".join(_MODULES)
        raise AttributeError(f"byol_jax.data has no attribute {name!r}; it has {names}")
    return getattr(importlib.import_module(f"byol_jax.data.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Returns the public names of this package."""
    return __all__
