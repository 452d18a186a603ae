"""How fast a part of an experiment runs here: python -m byol_jax bench input|augment --config=FILE."""

from byol_jax.bench.reading import read
from byol_jax.bench.views import augment

BENCHES = {"input": read, "augment": augment}
