"""Momentum contrast, versions 1 and 2 (He et al. 2020, arXiv 1911.05722; Chen et al. 2003.04297).

The versions differ in the head and the augmentation alone.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from byol_jax import collectives, ema, errors, losses, networks, randomness, ring_buffer
from byol_jax.methods import base


class Memory(NamedTuple):
    """The key encoder's params and the queue of keys."""

    target: chex.ArrayTree
    queue: ring_buffer.RingBuffer


def moco(
    encoder: networks.Network,
    projector: networks.Network,
    *,
    capacity: int = 65536,
    decay: float = 0.999,
    temperature: float = 0.2,
    shuffle: bool = True,
    symmetric: bool = False,
    target_stats: str = "own",
    permutation: Callable = randomness.permutation,
    batch_size: int | None = None,
    axis_name: str | None = None,
) -> base.Method:
    """MoCo: the first view asks, the second gives the keys; the queue gives the negatives.

    symmetric: the views also change roles, and the two losses are added (the authors' CIFAR demo);
        twice the batch then enters the queue.
    capacity: rows of the queue. shuffle: deal the keys' images anew over the devices (or the batch
    norm groups of one) before they are normalized. permutation(key, N) -> int [N] deals them.
    batch_size: over all devices; given, the queue must hold the keys of one step.

    Raises ValueError for a queue that is smaller than the keys of a step.
    """
    _check_capacity(capacity, batch_size, symmetric)
    nets = {"encoder": encoder, "projector": projector}

    def init(key, views):
        net_key, queue_key = jax.random.split(key)
        params, stats, outputs = base.init_chain(net_key, nets, views[0])
        shape = outputs["projector"].shape
        queue = ring_buffer.create(queue_key, capacity, shape[-1])
        return params, {**stats, "target": stats}, Memory(params, queue)

    def forward(params, stats, memory, views, key):
        online_stats = {name: stats[name] for name in nets}
        asking, asked = (views[:2], views[1::-1]) if symmetric else (views[:1], views[1:2])
        queries, online_stats = base.apply_views(nets, params, online_stats, asking)
        keys, own = [], stats["target"]
        for number, view in enumerate(asked):
            rows, own = _keys(memory.target, own, view, jax.random.fold_in(key, number))
            keys.append(losses.l2_normalize(rows))
        own = base.target_stats(target_stats, stats["target"], own, online_stats, decay=decay)
        outputs = {
            "features": queries["encoder"],
            "projections": queries["projector"],
            "keys": jax.lax.stop_gradient(base.stack_views(keys)),
        }
        return outputs, {**online_stats, "target": own}

    def _keys(params, stats, view, key):
        if not shuffle:
            outputs, stats = base.apply_chain(nets, params, stats, view)
            return outputs["projector"], stats
        order = permutation(key, len(view) * collectives.axis_size(axis_name))
        view = collectives.shuffle(view, order, axis_name)
        outputs, stats = base.apply_chain(nets, params, stats, view)
        return collectives.unshuffle(outputs["projector"], order, axis_name), stats

    def objective(outputs, memory, batch, key):
        del batch, key
        queries, keys = losses.l2_normalize(outputs["projections"]), outputs["keys"]
        each = [
            losses.info_nce(queries[:, v], keys[:, v], memory.queue.rows, temperature=temperature)
            for v in range(queries.shape[1])
        ]
        return sum(each), keys, {}

    def remember(memory, params, kept, step):
        del step
        target = ema.update(memory.target, params, decay=decay)
        keys = jnp.moveaxis(collectives.all_gather(kept, axis_name), 1, 0)  # [V, N, D]
        return Memory(target, ring_buffer.push(memory.queue, keys.reshape(-1, keys.shape[-1])))

    return base.Method(
        init,
        forward,
        objective,
        remember,
        coupled=False,
        schedules={"decay": lambda step: decay},
        capacity=capacity,
    )


def _check_capacity(capacity: int, batch_size: int | None, symmetric: bool) -> None:
    keys = (batch_size or 0) * (2 if symmetric else 1)  # of one step
    if capacity < keys:
        raise errors.UserError(
            f"the queue (method.capacity {capacity}) is smaller than the {keys} keys of a step "
            f"(batch_size {batch_size}); choose {keys} or more."
        )
