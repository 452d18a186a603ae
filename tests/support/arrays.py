"""Random arrays, and networks applied to them, for tests."""

import jax


def normal(seed, *shape):
    """Standard normal numbers."""
    return jax.random.normal(jax.random.key(seed), shape)


def apply(net, params, stats, x, *, train):
    """The network's apply, compiled."""
    return jax.jit(net.apply, static_argnames="train")(params, stats, x, train=train)
