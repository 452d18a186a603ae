"""The networks, views and states of BYOL's and MoCo's recordings, built from this package."""

import functools

import jax
import jax.numpy as jnp

from byol_jax import augment, methods, networks, optimizers, ring_buffer
from support import recorded_names


def as_they_are(keys, images):
    """Returns the two recorded views, unchanged."""
    del keys
    return images[:, 0], images[:, 1]


def byol_views(keys, images):
    """Returns the two recorded views, normalized as in BYOL's loss."""
    normalize = functools.partial(
        augment.normalize, mean=augment.IMAGENET_MEAN, std=augment.IMAGENET_STD
    )
    return tuple(jax.vmap(normalize)(view) for view in as_they_are(keys, images))


def byol_method(meta, encoder_params, axis_name):
    norm_axis = axis_name if meta["cross_replica_bn"] else None
    norm = functools.partial(
        networks.BatchNorm, axis_name=norm_axis, decay=meta["bn_decay"], eps=meta["bn_eps"]
    )
    out = meta["projector_output_size"]
    head = functools.partial(networks.mlp, batch_norm=norm, last_bias=False)
    sizes = recorded_names.sizes(encoder_params)
    encoder = networks.resnet(**sizes, padding="same", always_project=True, batch_norm=norm)
    return methods.byol(
        encoder,
        head((meta["projector_hidden_size"], out)),
        head((meta["predictor_hidden_size"], out)),
        decay=meta["base_target_ema"],
        total_steps=meta["max_steps"],
        axis_name=axis_name,
    )


def byol_schedule(meta):
    peak = meta["base_learning_rate"] * meta["batch_size"] / 256
    return optimizers.cosine(peak, meta["max_steps"], 1, warmup_epochs=meta["warmup_steps"])


def online_nets(tree):
    return {name: tree[name] for name in ("encoder", "projector", "predictor")}


def target_nets(tree):
    return {name: tree[name] for name in ("encoder", "projector")}


def byol_state(trace, moment):
    """Returns the parameters, the target and the statistics at a moment, such as "after/3"."""
    params, target, stats, target_stats = (
        recorded_names.from_haiku(trace.under(f"{moment}/{part}/"))
        for part in ("online_params", "target_params", "online_state", "target_state")
    )
    return params, target_nets(target), {**online_nets(stats), "target": target_nets(target_stats)}


def moco_networks(trace, params, groups):
    norm = functools.partial(
        networks.BatchNorm,
        axis_name=None,  # MoCo normalizes each device's batch, or each group of one global batch
        groups=groups,
        unbiased=True,
        decay=1 - trace.meta["bn_momentum_torch"],
        eps=trace.meta["bn_eps"],
    )
    head = params["projector"]
    widths = [head[name]["bias"].size for name in sorted(head)]
    encoder = networks.resnet(
        **recorded_names.sizes(params["encoder"]), padding="torch", batch_norm=norm
    )
    return encoder, networks.mlp(widths, batch_norm=None)


def moco_queue(trace, path):
    rows = trace.arrays[f"{path}/queue"].T
    cursor = trace.arrays[f"{path}/queue_ptr"]
    count = jnp.int32(len(rows))
    return ring_buffer.RingBuffer(jnp.asarray(rows), jnp.int32(cursor.item()), count)
