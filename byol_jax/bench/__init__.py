"""How fast a part runs here: python -m byol_jax bench input|augment --config=FILE, or bench losses."""

from byol_jax.bench.contrast import cost
from byol_jax.bench.reading import read
from byol_jax.bench.views import augment

BENCHES = {"input": read, "augment": augment, "losses": cost}
WITHOUT_CONFIG = ("losses",)
