"""How fast a part of an experiment runs here: python -m byol_jax bench input|augment|step."""

from byol_jax.bench.reading import read
from byol_jax.bench.steps import step
from byol_jax.bench.views import augment

BENCHES = {"input": read, "augment": augment, "step": step}
