"""What a method is, and the little that several of them share."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from byol_jax import ema, errors, networks

TARGET_STATS = ("own", "copied", "averaged")


class Method(NamedTuple):
    """A self-supervised method: four pure functions.

    init(key, views)                           -> (params, stats, memory)
    forward(params, stats, memory, views, key) -> (outputs, stats)
        networks only; key is the same on all devices (shuffles)
    objective(outputs, memory, batch, key)     -> (losses [B], kept, metrics)
        arrays only; sees other examples and devices; key is the same on all devices
    remember(memory, params, kept, step)       -> memory
        after the optimizer step; step: updates done before it

    coupled: False promises that no loss reads another example of the batch, so that accumulation
        needs one forward pass, not two.
    params: moved by the optimizer. stats: batch-norm statistics of every network, target networks
        too. params["encoder"], stats["encoder"]: the backbone, in every method; evaluation,
        embedding and export read only these.
    memory: what no gradient touches (target params, queue, bank); replicated: what enters it has
        passed pmean or all_gather.
    outputs: leaves [B, ...]; among them `features` [B, V, F] and `projections` [B, V, D] of the
        online views: the online probe reads features[:, 0], the collapse monitor the projections.
    kept: leaves [B, ...], or, of a coupled method, also scalars.
    batch: image, index, row (the example's global number in this step), label where there is one.
    metrics: scalars, averaged over devices by the engine.

    What the program shows and checks of a method:

    schedules: what changes over the run, such as the target's decay: functions of the updates done
        before a step, by name; they are logged.
    capacity: rows of the method's queue; 0 without one.
    needs_labels: the batch must hold `label`.
    patches: the arguments of networks.patchwise where the encoder sees patches of an image, whose
        features are averaged; None where it sees whole images.
    """

    init: Callable
    forward: Callable
    objective: Callable
    remember: Callable
    coupled: bool
    schedules: Mapping[str, Callable] = {}
    capacity: int = 0
    needs_labels: bool = False
    patches: Mapping[str, int] | None = None


def init_chain(key: jax.Array, nets: dict[str, networks.Network], x: chex.ArrayTree):
    """Initialises networks that feed each other, in order: (params, stats, outputs), dicts by name."""
    params, stats, outputs = {}, {}, {}
    for name, net_key in zip(nets, jax.random.split(key, len(nets)), strict=True):
        params[name], stats[name] = nets[name].init(net_key, x)
        x, _ = nets[name].apply(params[name], stats[name], x, train=False)
        outputs[name] = x
    return params, stats, outputs


def apply_chain(nets: dict[str, networks.Network], params, stats, x):
    """Runs the networks in order, training: (what each gave, by name; stats)."""
    outputs, moved = {}, {}
    for name, net in nets.items():
        x, moved[name] = net.apply(params[name], stats[name], x, train=True)
        outputs[name] = x
    return outputs, moved


def apply_views(nets: dict[str, networks.Network], params, stats, views, *, jointly: bool = False):
    """Runs the networks on each view in turn, training: (what each gave [B, V, ...], by name; stats).

    The statistics move once per view, the first view's first. jointly: all views, of one shape, are
    one batch instead, normalized together, and the statistics move once.
    """
    if jointly:
        images = stack_views(
            views
        )  # an example's views stay together, in a group of batch norm too
        outputs, stats = apply_chain(nets, params, stats, images.reshape(-1, *images.shape[2:]))
        apart = {name: x.reshape(*images.shape[:2], *x.shape[1:]) for name, x in outputs.items()}
        return apart, stats
    seen = []
    for view in views:
        outputs, stats = apply_chain(nets, params, stats, view)
        seen.append(outputs)
    return {name: stack_views([outputs[name] for outputs in seen]) for name in nets}, stats


def target_stats(kind: str, old, own, online, *, decay: float):
    """The target's next statistics: its own forward's, the online network's, or their average.

    Papers and their code keep the target's own; raises ValueError for a kind not in TARGET_STATS.
    """
    if kind not in TARGET_STATS:
        raise errors.UserError(
            f"unknown target_stats {kind!r}; choose one of {', '.join(TARGET_STATS)}."
        )
    if kind == "own":
        return own
    return online if kind == "copied" else ema.update(old, online, decay=decay)


def stack_views(views: list[jax.Array]) -> jax.Array:
    """Joins V arrays [B, ...] into [B, V, ...]."""
    return jnp.stack(views, axis=1)
