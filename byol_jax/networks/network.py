"""A network as two pure functions, whichever library defines it."""

import functools
from typing import Any, NamedTuple, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from byol_jax import augment, errors, pickling


class Init(Protocol):
    """A function that initializes a network."""

    def __call__(self, key: jax.Array, x: jax.Array) -> tuple[Any, Any]:
        """Draws the parameters and creates the batch-norm statistics.

        Args:
            key: PRNG key.
            x: An example batch [B, ...]; only its shape and dtype matter.

        Returns:
            Two pytrees: params, which the optimizer updates, and stats, which it does not.
        """
        ...


class Apply(Protocol):
    """A function that computes the outputs of a network."""

    def __call__(self, params: Any, stats: Any, x: jax.Array, *, train: bool) -> tuple[Any, Any]:
        """Computes the outputs of a network for a batch.

        Args:
            params: Parameters, a pytree from `Init`.
            stats: Batch-norm statistics, a pytree from `Init` or from the previous call.
            x: Batch [B, ...].
            train: True normalizes by the batch's own statistics and updates `stats`; False
                normalizes by `stats`.

        Returns:
            The outputs [B, ...] and the updated stats.
        """
        ...


class Network(NamedTuple):
    """A network as two pure functions.

    Attributes:
        init: Draws the parameters; see `Init`.
        apply: Computes the outputs; see `Apply`.
    """

    init: Init
    apply: Apply


@pickling.picklable
def from_linen(module: nn.Module) -> Network:
    """Converts a flax.linen module to a network.

    Args:
        module: A module that is called as module(x, train=bool) and draws no random numbers, such
            as dropout. Its only mutable collection is "batch_stats".

    Returns:
        The network.
    """

    def init(key, x):
        variables = module.init(key, x, train=False)
        return variables["params"], variables.get("batch_stats", {})

    def apply(params, stats, x, *, train):
        variables = {"params": params, "batch_stats": stats}
        if not train:
            return module.apply(variables, x, train=False), stats
        y, updated = module.apply(variables, x, train=True, mutable=["batch_stats"])
        return y, updated.get("batch_stats", {})

    return Network(init, apply)


@pickling.picklable
def starting_from(network: Network, params: Any, stats: Any) -> Network:
    """Returns a network that starts from given weights instead of random ones.

    Args:
        network: The network.
        params: Its initial parameters.
        stats: Its initial batch-norm statistics.

    Returns:
        The network. Its init ignores the key and raises UserError if the weights do not fit.
    """

    def init(key, x):
        expected = _describe(jax.eval_shape(network.init, key, x))
        actual = _describe((params, stats))
        for path in sorted(expected.keys() | actual.keys()):
            weight = actual.get(path, "missing")
            needed = expected.get(path, "no such array")
            if path not in expected or weight != needed:
                raise errors.UserError(
                    f"the weights belong to another network: {path} is {weight}, but this network "
                    f"has {needed}. Choose the network that the weights belong to."
                )
        return jax.tree.map(jnp.asarray, (params, stats))

    return Network(init, network.apply)


def _describe(trees) -> dict[str, str]:
    """Returns a dict from the path of each array in params and stats to its dtype and shape."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(trees)
    return {
        jax.tree_util.keystr(path[1:], simple=True, separator="/"): f"{x.dtype} {list(x.shape)}"
        for path, x in leaves
    }


@pickling.picklable
def patchwise(encoder: Network, *, size: int, stride: int) -> Network:
    """Returns a network that applies an encoder to every patch of an image.

    Args:
        encoder: Network from patches [B, size, size, C] to features [B, F].
        size: Side of a patch in pixels.
        stride: Distance between neighboring patches in pixels.

    Returns:
        A network from images [B, H, W, C] to features [B, G, G', F] of a grid of patches, as cut by
        augment.patches. Its parameters and statistics are those of the encoder. It raises UserError
        for images that are smaller than a patch.
    """
    cut = jax.vmap(functools.partial(augment.patches, size=size, stride=stride))

    def init(key, x):
        return encoder.init(key, cut(x)[:, 0, 0])

    def apply(params, stats, x, *, train):
        patches = cut(x)  # [B, G, G, size, size, C]
        flat = patches.reshape(-1, *patches.shape[3:])
        features, stats = encoder.apply(params, stats, flat, train=train)
        return features.reshape(*patches.shape[:3], -1), stats

    return Network(init, apply)
