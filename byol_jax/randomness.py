"""Random draws that do not depend on how many devices there are.

Nothing stores a key: each is folded from the seed, the step and the global number of the example,
so that views, noise and shuffles are the same on 1 and on 64 devices, and after a restart.
"""

import jax
import jax.numpy as jnp


def step_key(seed: int, step: jax.Array) -> jax.Array:
    """The key of one training step, the same on all devices; `step` is an int32 scalar."""
    return jax.random.fold_in(jax.random.key(seed), step)


def row_keys(key: jax.Array, rows: jax.Array) -> jax.Array:
    """One key per example, [B], from the examples' global numbers `rows`, int32 [B]."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, rows)


def permutation(key: jax.Array, num_rows: int) -> jax.Array:
    """A random order of `num_rows` rows, int32 [N]."""
    return jax.random.permutation(key, jnp.arange(num_rows, dtype=jnp.int32))


def uniform_indices(
    key: jax.Array, rows: jax.Array, *, num_draws: int, num_examples: int
) -> jax.Array:
    """Draws with replacement from 0 … num_examples - 1 for each example: int32 [B, num_draws].

    `rows` [B] are the examples' global numbers.
    """

    def draw(row_key):
        return jax.random.randint(row_key, (num_draws,), 0, num_examples, dtype=jnp.int32)

    return jax.vmap(draw)(row_keys(key, rows))


def init_key(seed: int) -> jax.Array:
    """The key of the first parameters, which no training step shares."""
    return jax.random.fold_in(jax.random.key(seed), 2**32 - 1)
