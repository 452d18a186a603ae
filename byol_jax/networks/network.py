"""The seam between networks and the rest: two pure functions, whatever library made them."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn


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
