"""The interface of a self-supervised method, and helpers that several methods share."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from byol_jax import collectives, ema, errors, networks

TARGET_STATS = ("own", "copied", "averaged")


class Init(Protocol):
    """A function that creates the parameters, the statistics and the memory of a method."""

    def __call__(
        self, key: jax.Array, views: tuple[jax.Array, ...]
    ) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """Initializes the networks and the memory of a method.

        Args:
            key: PRNG key.
            views: V example batches [B, h, w, C]; only their shapes and dtypes matter.

        Returns:
            The pytrees params, stats and memory; see `Method`.
        """
        ...


class Forward(Protocol):
    """A function that runs the networks of a method on a batch of views."""

    def __call__(
        self,
        params: dict[str, Any],
        stats: dict[str, Any],
        memory: Any,
        views: tuple[jax.Array, ...],
        key: jax.Array,
    ) -> tuple[dict[str, jax.Array], dict[str, Any]]:
        """Computes the outputs of the networks for a batch or a microbatch.

        Examples interact only through batch norm here.

        Args:
            params: Parameters of the networks.
            stats: Batch-norm statistics of the networks.
            memory: See `Method`.
            views: V batches [B, h, w, C].
            key: PRNG key, the same on all devices; MoCo shuffles with it.

        Returns:
            The outputs by name, leaves [B, ...], and the updated stats. The outputs hold
            `features` [B, V, F] and `projections` [B, V, D] of the online network: the online
            probe reads features[:, 0], the collapse monitor reads the projections.
        """
        ...


class Objective(Protocol):
    """A function that computes the losses of a batch from the outputs of the networks."""

    def __call__(
        self,
        params: dict[str, Any],
        outputs: dict[str, jax.Array],
        memory: Any,
        batch: dict[str, jax.Array],
        key: jax.Array,
        step: jax.Array,
    ) -> tuple[jax.Array, Any, dict[str, jax.Array]]:
        """Computes one loss per example, which may depend on the examples of all devices.

        Args:
            params: Parameters of the networks, and any others that `Init` creates, such as the
                prototypes of a clustering loss. They receive gradients from here too.
            outputs: The outputs of `Forward` for the whole batch of this device.
            memory: See `Method`.
            batch: `index` [B], the examples' numbers in the data set; `row` [B], their positions in
                the global batch; `image`; and `label` [B] if the data set has labels.
            key: PRNG key, the same on all devices.
            step: Number of optimizer steps before this one, an int32 scalar.

        Returns:
            The losses [B]; what `UpdateMemory` needs, a pytree of leaves [B, ...] (a coupled method
            may also return scalars); and metrics, scalars that the train step averages over
            devices.
        """
        ...


class UpdateMemory(Protocol):
    """A function that updates the memory of a method after the optimizer step."""

    def __call__(
        self, memory: Any, params: dict[str, Any], memory_inputs: Any, step: jax.Array
    ) -> Any:
        """Computes the next value of a method's memory.

        Args:
            memory: The current memory.
            params: The parameters after the optimizer step.
            memory_inputs: The second result of `Objective`.
            step: Number of optimizer steps before this one, an int32 scalar.

        Returns:
            The next memory, of the same structure.
        """
        ...


class Schedule(Protocol):
    """A function that computes a hyper-parameter, such as a decay, for each training step."""

    def __call__(self, step: Any) -> Any:
        """Computes the value of a hyper-parameter for a training step.

        Args:
            step: Number of optimizer steps before this one, an integer or an int32 scalar.

        Returns:
            The value, a float or a float32 scalar.
        """
        ...


class Method(NamedTuple):
    """A self-supervised method: four pure functions and what the trainer needs to know about them.

    Three pytrees travel through training. `params` are updated by the optimizer. `stats` are the
    batch-norm statistics of every network, including target networks. params["encoder"] and
    stats["encoder"] are the backbone in every method; evaluation, embedding and export read only
    these. `memory` holds state that no gradient reaches: target parameters, a queue, a memory bank.
    It is equal on all devices, because everything that enters it passes through pmean or
    all_gather.

    Attributes:
        init: Creates params, stats and memory.
        forward: Runs the networks.
        objective: Computes the losses.
        update_memory: Updates the memory.
        coupled: False promises that no loss depends on another example of the batch, so that
            gradient accumulation needs one forward pass instead of two.
        schedules: Hyper-parameters that change during training, such as the target's decay, by
            name; the log shows them.
        queue_capacity: Number of rows in the method's queue; 0 without a queue.
        axis_name: The axis name with which the functions communicate between devices.
        needs_labels: True if the batch must contain `label`.
        patches: Arguments of networks.patchwise if the encoder sees patches of an image, whose
            features evaluation averages; None if it sees whole images.
    """

    init: Init
    forward: Forward
    objective: Objective
    update_memory: UpdateMemory
    coupled: bool
    schedules: Mapping[str, Schedule] = {}
    queue_capacity: int = 0
    axis_name: collectives.AxisName = None
    needs_labels: bool = False
    patches: Mapping[str, int] | None = None


Networks = Mapping[str, networks.Network]
Arrays = dict[str, Any]


def init_chain(key: jax.Array, nets: Networks, x: jax.Array) -> tuple[Arrays, Arrays, Arrays]:
    """Initializes networks; each network takes the output of the previous one.

    Args:
        key: PRNG key.
        nets: The networks by name, in order.
        x: An example batch for the first network, [B, ...].

    Returns:
        Parameters, batch-norm statistics and outputs, each a dict by the network's name.
    """
    params = {}
    stats = {}
    outputs = {}
    for name, net_key in zip(nets, jax.random.split(key, len(nets)), strict=True):
        params[name], stats[name] = nets[name].init(net_key, x)
        x, _ = nets[name].apply(params[name], stats[name], x, train=False)
        outputs[name] = x
    return params, stats, outputs


def apply_chain(
    nets: Networks, params: Arrays, stats: Arrays, x: jax.Array
) -> tuple[Arrays, Arrays]:
    """Runs networks in training mode; each network takes the output of the previous one.

    Args:
        nets: The networks by name, in order.
        params: Parameters by the network's name.
        stats: Batch-norm statistics by the network's name.
        x: The input of the first network, [B, ...].

    Returns:
        The outputs and the updated statistics, each a dict by the network's name.
    """
    outputs = {}
    new_stats = {}
    for name, net in nets.items():
        # Under jit, JAX traces the network and its derivatives once, and reuses them for the other
        # views if no gradient reaches the statistics. Inlined, the program stays the same.
        apply = jax.jit(net.apply, static_argnames="train", inline=True)
        x, updated = apply(params[name], stats[name], x, train=True)
        new_stats[name] = jax.lax.stop_gradient(updated)
        outputs[name] = x
    return outputs, new_stats


def apply_views(
    nets: Networks,
    params: Arrays,
    stats: Arrays,
    views: Sequence[jax.Array],
    *,
    jointly: bool = False,
) -> tuple[Arrays, Arrays]:
    """Runs a chain of networks in training mode on each view.

    Args:
        nets: The networks by name, in order.
        params: Parameters by the network's name.
        stats: Batch-norm statistics by the network's name.
        views: V views [B, ...].
        jointly: False runs the views one after the other; each is normalized by its own statistics,
            and the running statistics are updated V times. True runs all views, of equal shape, as
            one batch, with one update.

    Returns:
        The outputs [B, V, ...] and the updated statistics, each a dict by the network's name.
    """
    if jointly:
        # The views of an example are adjacent, so that they share a group of batch norm.
        images = stack_views(views)
        outputs, stats = apply_chain(nets, params, stats, images.reshape(-1, *images.shape[2:]))
        by_view = {name: x.reshape(*images.shape[:2], *x.shape[1:]) for name, x in outputs.items()}
        return by_view, stats
    outputs_of_views = []
    for view in views:
        outputs, stats = apply_chain(nets, params, stats, view)
        outputs_of_views.append(outputs)
    stacked = {name: stack_views([outputs[name] for outputs in outputs_of_views]) for name in nets}
    return stacked, stats


def target_stats(kind: str, old: Any, own: Any, online: Any, *, decay: float) -> Any:
    """Chooses which batch-norm statistics a target network uses next.

    Args:
        kind: "own" (papers and their code), "copied" or "averaged".
        old: The target's current statistics.
        own: The statistics after the target's own forward pass; the result for "own".
        online: The online network's statistics; the result for "copied".
        decay: Weight of `old` in the average of `old` and `online`, the result for "averaged".

    Returns:
        The next statistics.

    Raises:
        UserError: The kind is unknown.
    """
    if kind not in TARGET_STATS:
        kinds = ", ".join(TARGET_STATS)
        raise errors.UserError(f"unknown target_stats {kind!r}; choose one of {kinds}.")
    if kind == "own":
        return own
    return online if kind == "copied" else ema.update(old, online, decay=decay)


def check_views(views: Sequence[jax.Array], count: int) -> None:
    """Checks the number of views.

    Args:
        views: The views.
        count: The number of views that the method compares.

    Raises:
        UserError: If the number differs.
    """
    if len(views) != count:
        raise errors.UserError(
            f"this method needs {count} views, not {len(views)}; change make_views, or the "
            "sections of config.views."
        )


def stack_views(views: Sequence[jax.Array]) -> jax.Array:
    """Stacks the arrays of all views along a new second axis.

    Args:
        views: V arrays [B, ...].

    Returns:
        An array [B, V, ...].
    """
    return jnp.stack(views, axis=1)
