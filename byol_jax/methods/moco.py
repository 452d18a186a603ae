"""MoCo, versions 1 and 2 (He et al. 2020, arXiv 1911.05722; Chen et al. 2020, arXiv 2003.04297).

The two versions differ only in the projector and the augmentation.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from byol_jax import collectives, ema, errors, losses, networks, pickling, randomness, ring_buffer
from byol_jax.methods import base


class Memory(NamedTuple):
    """The memory of MoCo: the target network's parameters and the queue of negatives.

    Attributes:
        target: Parameters of the key encoder, a moving average.
        queue: Keys of earlier batches, which serve as negatives.
    """

    target: dict[str, Any]
    queue: ring_buffer.RingBuffer


@pickling.picklable
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
    permutation: Callable[[jax.Array, int], jax.Array] = randomness.permutation,
    batch_size: int | None = None,
    axis_name: collectives.AxisName = None,
) -> base.Method:
    """Creates MoCo, which distinguishes an image's own key from a queue of earlier keys.

    The online network computes queries from the first view. The key encoder, a moving average of
    the online network, computes keys from the second view. The loss is losses.info_nce.

    Args:
        encoder: Backbone, images to features [B, F].
        projector: Head, features to projections [B, D].
        capacity: Number of keys in the queue.
        decay: Decay of the moving average, in [0, 1].
        temperature: Divisor of the cosine similarities, above 0.
        shuffle: Shuffle the key images across devices, or across the batch-norm groups of one
            device, before the key encoder. Otherwise, batch norm reveals which key belongs to a
            query.
        symmetric: Also compute the loss with the roles of the views exchanged, and add both losses,
            as in the authors' CIFAR demo. Then twice as many keys enter the queue.
        target_stats: Batch-norm statistics of the key encoder; see base.target_stats.
        permutation: Draws the order of the shuffle from a key and the number of images N; int [N].
        batch_size: Size of the global batch, for a check of the capacity; None skips the check.
        axis_name: Name of the mapped device axis; None computes on one device.

    Returns:
        The method.

    Raises:
        UserError: The queue is smaller than the number of keys of a step.
    """
    _check_capacity(capacity, batch_size, symmetric)
    nets = {"encoder": encoder, "projector": projector}

    def init(key, views):
        base.check_views(views, 2)
        net_key, queue_key = jax.random.split(key)
        params, stats, outputs = base.init_chain(net_key, nets, views[0])
        shape = outputs["projector"].shape
        queue = ring_buffer.create(queue_key, capacity, shape[-1])
        return params, {**stats, "target": stats}, Memory(params, queue)

    def forward(params, stats, memory, views, key):
        base.check_views(views, 2)
        online_stats = {name: stats[name] for name in nets}
        query_views = views[:2] if symmetric else views[:1]
        key_views = views[1::-1] if symmetric else views[1:2]
        queries, online_stats = base.apply_views(nets, params, online_stats, query_views)
        keys = []
        key_stats = stats["target"]
        for number, view in enumerate(key_views):
            shuffle_key = jax.random.fold_in(key, number)
            rows, key_stats = compute_keys(memory.target, key_stats, view, shuffle_key)
            keys.append(losses.l2_normalize(rows))
        key_stats = base.target_stats(
            target_stats, stats["target"], key_stats, online_stats, decay=decay
        )
        outputs = {
            "features": queries["encoder"],
            "projections": queries["projector"],
            "keys": jax.lax.stop_gradient(base.stack_views(keys)),
        }
        return outputs, {**online_stats, "target": key_stats}

    def compute_keys(params, stats, view, key):
        if not shuffle:
            outputs, stats = base.apply_chain(nets, params, stats, view)
            return outputs["projector"], stats
        order = permutation(key, len(view) * collectives.axis_size(axis_name))
        view = collectives.shuffle(view, order, axis_name)
        outputs, stats = base.apply_chain(nets, params, stats, view)
        return collectives.unshuffle(outputs["projector"], order, axis_name), stats

    def objective(params, outputs, memory, batch, key, step):
        del params, batch, key, step
        queries = losses.l2_normalize(outputs["projections"])
        keys = outputs["keys"]
        rows = memory.queue.rows
        loss = losses.info_nce(queries[:, 0], keys[:, 0], rows, temperature=temperature)
        if symmetric:
            loss += losses.info_nce(queries[:, 1], keys[:, 1], rows, temperature=temperature)
        return loss, keys, {}

    def update_memory(memory, params, memory_inputs, step):
        del step
        target = ema.update(memory.target, params, decay=decay)
        keys = collectives.all_gather(memory_inputs, axis_name, replicated=True)
        keys = jnp.moveaxis(keys, 1, 0)  # [V, N, D]
        return Memory(target, ring_buffer.push(memory.queue, keys.reshape(-1, keys.shape[-1])))

    return base.Method(
        init,
        forward,
        objective,
        update_memory,
        coupled=False,
        schedules={"decay": lambda step: decay},
        queue_capacity=capacity,
        axis_name=axis_name,
    )


def _check_capacity(capacity: int, batch_size: int | None, symmetric: bool) -> None:
    keys = (batch_size or 0) * (2 if symmetric else 1)  # of one step
    if capacity < keys:
        raise errors.UserError(
            f"the queue (method.capacity {capacity}) is smaller than the {keys} keys of one step "
            f"(batch_size {batch_size}); set method.capacity to {keys} or more."
        )
