"""Entry point of `python -m byol_jax`."""

from byol_jax import main

main.run()
