"""Images from disk: `prepare` makes a data set, `open_source` opens one, `batches` reads it."""

from byol_jax.data.loader import batches
from byol_jax.data.prefetch import Prefetch
from byol_jax.data.prepare import prepare
from byol_jax.data.source import Source, open_source

__all__ = ["Prefetch", "Source", "batches", "open_source", "prepare"]
