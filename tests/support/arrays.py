"""Random arrays for tests, and a compiled way to apply networks to them."""

import jax


def normal(seed, *shape):
    """Returns standard normal numbers of a shape."""
    return jax.random.normal(jax.random.key(seed), shape)


def apply(net, params, stats, x, *, train):
    """Applies a network, compiled by jit."""
    return jax.jit(net.apply, static_argnames="train")(params, stats, x, train=train)
