"""How fast a part runs: python -m byol_jax bench input|augment|step --config=FILE, or bench losses."""

from byol_jax.bench.contrast import cost
from byol_jax.bench.reading import read
from byol_jax.bench.steps import step
from byol_jax.bench.views import augment

BENCHES = {"input": read, "augment": augment, "step": step, "losses": cost}
WITHOUT_CONFIG = ("losses",)
