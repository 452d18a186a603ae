"""`bench step`: the speed and memory of a whole train step."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from byol_jax import augment, errors, plan, train_state, train_step
from byol_jax.builders import parts
from byol_jax.builders import views as build_views
from byol_jax.commands.bench import peers, profile, timing
from byol_jax.system import chips, devices

# The step does not read a data set; the method is built for one of this size.
_NUM_EXAMPLES = 50_000
_NUM_CLASSES = 10
_SIDE = 2048  # of the square matrices whose product gives the machine's speed


def measure(
    config: ConfigDict, *, peer: Sequence[str] = (), fit: bool = False, kernels: bool = False
) -> dict[str, Any]:
    """Measures the speed and memory of the train step.

    The step consists of networks, loss, gradient, optimizer and metrics.

    The views are random numbers with the shapes of the config's views, made in advance, so neither
    reading nor augmentation is measured. All devices and cores are used, as in training. Prints the
    results.

    Args:
        config: The experiment's config.
        peer: Libraries of peers.NAMES in which the same network, loss and batch are measured too,
            in rounds that alternate between all.
        fit: Halve the batch size until the step fits into the device's memory.
        kernels: Also print the kernels that take the most time.

    Returns:
        "byol_jax", images per second; "batch_size"; "compile_seconds"; "flops", operations per
        second and device in convolutions and matrix products; "of_matmul", "flops" divided by the
        speed of a matrix product in the same rounds; "mfu", "flops" divided by the speed in the
        data sheet, if the device has one; "peak_bytes", the peak memory of the device or, on a CPU,
        of this process. With peers also their images per second, by their names, and "ratios", the
        speed of byol_jax divided by that of each peer, the median over the rounds. With kernels
        also "kernels", their share of the time by name.

    Raises:
        UserError: A peer is unknown or does not support the config, the views differ in size, or a
            batch of one example for each device does not fit.
        MissingExtra: A peer is not installed.
    """
    views, step = _first_call(config, fit)
    peak = _peak_bytes()  # before the peers add to it
    calls = {"byol_jax": step.call, **{name: peers.make(name, config, views) for name in peer}}
    seconds = timing.alternate({**calls, "matmul": _make_matmul(config.precision)})
    product_flops = 2 * _SIDE**3 / np.array(seconds.pop("matmul"))
    step_flops = step.flops / np.array(seconds["byol_jax"])
    rates = timing.report(seconds, config.batch_size, "images/s")
    results = {
        "batch_size": config.batch_size,
        "compile_seconds": step.compile_seconds,
        "flops": float(np.median(step_flops)),
        "of_matmul": float(np.median(step_flops / product_flops)),
        "peak_bytes": peak,
    }
    sheet = chips.find(jax.devices()[0].device_kind)
    if sheet is not None:
        results["mfu"] = results["flops"] / sheet.flops
        print(f"{results['mfu']:.1%} of the operations per second in the data sheet")
    print(
        f"{results['flops'] / 1e9:,.0f} GFLOP/s per device, {results['of_matmul']:.0%} of the "
        f"speed of a matrix product; {step.flops / 1e9:,.0f} GFLOP per step in convolutions and "
        f"matrix products\ncompiled in {results['compile_seconds']:.1f} s; peak memory "
        f"{peak / 2**30:.2f} GiB; host memory by {timing.allocator()}"
    )
    if kernels:
        results["kernels"] = profile.largest(step.call)
        for name, share in results["kernels"].items():
            print(f"  {share:6.1%}  {name}")
    return rates | results


class CompiledStep(NamedTuple):
    """A compiled train step.

    Attributes:
        call: Takes one step and waits for it.
        compile_seconds: Compile time.
        flops: Operations per step and per device.
    """

    call: Callable[[], None]
    compile_seconds: float
    flops: float


def _first_call(config: ConfigDict, fit: bool) -> tuple[np.ndarray, CompiledStep]:
    """Compiles a step and runs it once; with `fit`, halves config.batch_size until it fits."""
    while True:
        views = random_views(config)
        step = None
        try:
            step = compile_step(config, views)
            step.call()
            return views, step
        except RuntimeError as error:  # JaxRuntimeError is a RuntimeError
            smallest = jax.device_count() * config.microbatches
            if not fit or "RESOURCE_EXHAUSTED" not in str(error):
                raise
            if config.batch_size // 2 < smallest:
                raise errors.UserError(
                    f"a batch of {config.batch_size} examples does not fit into the memory of the "
                    "devices; use a smaller network or smaller views."
                ) from error
        config.batch_size //= 2
        print(f"out of memory; trying a batch of {config.batch_size}")


def _peak_bytes() -> int:
    """Returns the peak memory of the first device, or of this process if the device is a CPU."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("peak_bytes_in_use") or timing.peak_bytes()


def random_views(config: ConfigDict) -> np.ndarray:
    """Makes random views of RGB images.

    Args:
        config: The experiment's config.

    Returns:
        Views, float32 [B, V, h, w, 3].

    Raises:
        UserError: The views differ in size.
    """
    settings = list(build_views.settings_of(config).values())
    sizes = {augment.height_and_width(s.size or config.data.image_size or 32) for s in settings}
    if len(sizes) > 1:
        raise errors.UserError(
            f"the views have different sizes, {sorted(sizes)}; "
            "`bench step` supports only views of equal size."
        )
    shape = (config.batch_size, len(settings), *sizes.pop(), 3)
    return np.random.default_rng(config.seed).standard_normal(shape, np.float32)


def compile_step(config: ConfigDict, views: np.ndarray) -> CompiledStep:
    """Compiles the train step of a config for all devices.

    Args:
        config: The experiment's config.
        views: The views of a batch, float32 [B, V, h, w, 3].

    Returns:
        The step, which takes these views in each call.

    Raises:
        UserError: The batch does not divide into devices and microbatches.
    """
    devices.check_batch_size(config.batch_size, config.microbatches)
    lowered, state, batch = _lower_step(config, views)
    start = time.perf_counter()
    compiled = lowered.compile()
    compile_seconds = time.perf_counter() - start

    def call():
        nonlocal state
        state, metrics = compiled(state, batch)
        jax.block_until_ready(metrics)

    num_views = views.shape[1]
    view_shape = list(views.shape[2:])
    num_devices = jax.device_count()
    platform = jax.devices()[0].platform
    print(
        f"{config.method.name}, {config.encoder.name}: batch {config.batch_size} x {num_views} "
        f"views {view_shape}, {config.precision}, on {num_devices} {platform} devices; the views "
        "are made in advance"
    )
    if config.encoder.get("convolution") == "winograd":
        # The operations are those of the direct convolutions, so that two forms compare by time.
        config = config.copy_and_resolve_references()
        config.encoder.convolution = "direct"
        lowered, _, _ = _lower_step(config, views)
    flops = plan.flops(lowered.compiler_ir("hlo").as_hlo_text())
    return CompiledStep(call, compile_seconds, flops)


def _lower_step(config: ConfigDict, views: np.ndarray):
    """Returns the lowered train step, its initial state, and a batch of ready-made views."""
    built = parts.build(
        config,
        num_examples=max(_NUM_EXAMPLES, config.batch_size),
        num_classes=_NUM_CLASSES,
        axis_name=train_step.AXIS,
    )
    online_probe = built.online_probe if built.method.needs_labels else None

    def make_views(keys, images):
        del keys
        return tuple(images[:, number] for number in range(images.shape[1]))

    # The first state needs only as many images as batch norm has groups; two per group suffice.
    first_images = jnp.asarray(views[: 2 * config.batch_norm.get("groups", 1)])
    state = train_state.create(
        built.method,
        built.optimizer,
        make_views((), first_images),
        seed=config.seed,
        online_probe=online_probe,
        axis_name=train_step.AXIS,
    )
    rows = np.arange(config.batch_size, dtype=np.int32)
    batch = {"image": views, "index": rows}
    if built.method.needs_labels:
        batch["label"] = rows % _NUM_CLASSES
    step = train_step.make(
        built.method,
        built.optimizer,
        make_views=make_views,
        seed=config.seed,
        microbatches=config.microbatches,
        online_probe=online_probe,
        measures=lambda done: done % config.log_every_steps == 0,
        axis_name=train_step.AXIS,
    )
    state = devices.replicate(state)
    batch = devices.shard(batch)
    return train_step.parallel(step).lower(state, batch), state, batch


def _make_matmul(precision: str) -> Callable[[], object]:
    a = jnp.ones((_SIDE, _SIDE), precision)
    product = jax.jit(jnp.matmul).lower(a, a).compile()
    return lambda: product(a, a).block_until_ready()
