"""The seam between networks and the rest: two pure functions, whatever library made them."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from byol_jax import augment, errors


class Network(NamedTuple):
    """A network as two pure functions.

    init(key, x)                          -> (params, stats)
    apply(params, stats, x, *, train)     -> (y, stats)   train: normalize by the batch
    """

    init: Callable
    apply: Callable


def from_linen(module: nn.Module) -> Network:
    """Adapts a flax.linen module whose call is module(x, train=bool) and that draws nothing."""

    def init(key, x):
        variables = module.init(key, x, train=False)
        return variables["params"], variables.get("batch_stats", {})

    def apply(params, stats, x, *, train):
        variables = {"params": params, "batch_stats": stats}
        if not train:
            return module.apply(variables, x, train=False), stats
        y, moved = module.apply(variables, x, train=True, mutable=["batch_stats"])
        return y, moved.get("batch_stats", {})

    return Network(init, apply)


def starting_from(network: Network, params: chex.ArrayTree, stats: chex.ArrayTree) -> Network:
    """The same network, whose `init` gives these arrays, whatever its key.

    Its init raises ValueError, naming the first array, where they are of another network.
    """

    def init(key, x):
        want, got = _kinds(jax.eval_shape(network.init, key, x)), _kinds((params, stats))
        for path in sorted(want.keys() | got.keys()):
            if want.get(path) != got.get(path):
                raise errors.UserError(
                    f"the weights to start from are another network's: {path} is "
                    f"{got.get(path, 'missing')}, wanted {want.get(path, 'none')}; choose the "
                    "network that they are of."
                )
        return jax.tree.map(jnp.asarray, (params, stats))

    return Network(init, network.apply)


def _kinds(trees) -> dict[str, str]:
    """{path: type and shape} of params and stats, which have no path in common."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(trees)
    return {
        jax.tree_util.keystr(path[1:], simple=True, separator="/"): f"{x.dtype} {list(x.shape)}"
        for path, x in leaves
    }


def patchwise(encoder: Network, *, size: int, stride: int) -> Network:
    """The encoder on every patch of images [B, H, W, C], as augment.patches cuts them: [B, G, G', F].

    Its params and stats are the encoder's own. Raises ValueError for images smaller than a patch.
    """
    cut = jax.vmap(functools.partial(augment.patches, size=size, stride=stride))

    def init(key, images):
        return encoder.init(key, cut(images)[:, 0, 0])

    def apply(params, stats, images, *, train):
        patches = cut(images)  # [B, G, G, size, size, C]
        flat = patches.reshape(-1, *patches.shape[3:])
        features, stats = encoder.apply(params, stats, flat, train=train)
        return features.reshape(*patches.shape[:3], -1), stats

    return Network(init, apply)
