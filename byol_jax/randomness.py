"""Random draws that do not depend on the number of devices.

No key is stored. Each key derives from the seed, the step and the example's position in the global
batch. Views, noise and shuffles are therefore the same on 1 and on 64 devices, and after a restart.
"""

import jax
import jax.numpy as jnp


def step_key(seed: int, step: jax.Array | int) -> jax.Array:
    """Returns the PRNG key of one training step, the same on all devices.

    Args:
        seed: The run's seed.
        step: Number of steps before this one, an integer or an int32 scalar.

    Returns:
        One PRNG key.
    """
    return jax.random.fold_in(jax.random.key(seed), step)


def row_keys(key: jax.Array, rows: jax.Array) -> jax.Array:
    """Derives one PRNG key per example.

    Args:
        key: PRNG key of the step.
        rows: Positions of the examples in the global batch, int32 [B].

    Returns:
        PRNG keys [B].
    """
    return jax.vmap(jax.random.fold_in, (None, 0))(key, rows)


def permutation(key: jax.Array, num_rows: int) -> jax.Array:
    """Draws a random permutation.

    Args:
        key: PRNG key.
        num_rows: Number of rows N.

    Returns:
        The integers from 0 to N - 1 in random order, int32 [N].
    """
    return jax.random.permutation(key, jnp.arange(num_rows, dtype=jnp.int32))


def uniform_indices(
    key: jax.Array, rows: jax.Array, *, num_draws: int, num_examples: int
) -> jax.Array:
    """Samples random indices of training examples for each example of a batch, with replacement.

    Args:
        key: PRNG key of the step.
        rows: Positions of the batch's examples in the global batch, int32 [B].
        num_draws: Number of draws per example.
        num_examples: Number of training examples.

    Returns:
        Numbers of training examples, uniform from 0 to num_examples - 1, int32 [B, num_draws].
    """

    def draw(row_key):
        return jax.random.randint(row_key, (num_draws,), 0, num_examples, dtype=jnp.int32)

    return jax.vmap(draw)(row_keys(key, rows))


def init_key(seed: int) -> jax.Array:
    """Returns the PRNG key for the initial parameters, which differs from the key of every step.

    Args:
        seed: The run's seed.

    Returns:
        One PRNG key.
    """
    return jax.random.fold_in(jax.random.key(seed), 2**32 - 1)
