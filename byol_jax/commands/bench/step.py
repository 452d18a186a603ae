"""How many images a second a whole train step takes: python -m byol_jax bench step --config=FILE."""

import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from byol_jax import augment, errors, plan, train_state, train_step
from byol_jax.builders import parts
from byol_jax.builders import views as build_views
from byol_jax.commands.bench import timing
from byol_jax.system import devices

PEERS = ("torch",)
_EXAMPLES = 50_000  # of the data set that the step is told of
_CLASSES = 10  # of its labels, where the method needs them
_SIDE = 2048  # of the matrices of the product that the step is compared with


def measure(config: ConfigDict, *, peer: str | None = None) -> dict[str, float]:
    """Images per second of the whole step: networks, loss, gradient, optimizer, and the monitor.

    The views are random numbers in the shapes of the config's, made beforehand: neither reading nor
    augmentation is timed. All devices and cores work, as in training.

    Prints, and returns by name, "byol_jax"; "compile_seconds"; "flops", a second and device, those
    of convolutions and matrix products; "of_matmul", the fraction of the speed of a
    matrix product in the same rounds; "peak_bytes" of this process. With peer="torch" also "torch",
    the same network, loss and batch in PyTorch's eager mode, and "ratio", the median over rounds
    that alternate between the two.

    Raises ValueError for an unknown peer, and for what the peer cannot express.
    """
    if peer not in (None, *PEERS):
        raise errors.UserError(f"unknown peer {peer!r}; choose one of {', '.join(PEERS)}.")
    views = _views(config)
    ours = _ours(config, views)
    ours.call()
    peak = timing.peak_bytes()
    calls = {"byol_jax": ours.call}
    if peer:
        from byol_jax.commands.bench import torch_step

        calls["torch"] = torch_step.make(config, views)
    seconds = timing.alternate({**calls, "matmul": _matmul(config.precision)})
    product = 2 * _SIDE**3 / np.array(seconds.pop("matmul"))
    speed = ours.flops / np.array(seconds["byol_jax"])
    rates = timing.report(seconds, config.batch_size, "images/s")
    measured = {
        "compile_seconds": ours.compile_seconds,
        "flops": float(np.median(speed)),
        "of_matmul": float(np.median(speed / product)),
        "peak_bytes": peak,
    }
    print(
        f"{measured['flops'] / 1e9:,.0f} GFLOP/s and device, {measured['of_matmul']:.0%} of a matrix "
        f"product's; {ours.flops / 1e9:,.0f} GFLOP a step in convolutions and products\n"
        f"compiled in {measured['compile_seconds']:.1f} s; at most {peak / 2**30:.2f} GiB of this process"
    )
    return rates | measured


class _Ours(NamedTuple):
    call: object
    compile_seconds: float
    flops: float


def _views(config) -> np.ndarray:
    """Numbers as views of RGB pictures: [B, V, h, w, 3]."""
    settings = list(build_views.settings_of(config).values())
    sizes = {augment.height_and_width(s.size or config.data.image_size or 32) for s in settings}
    if len(sizes) > 1:
        raise errors.UserError(f"the views differ in size, {sorted(sizes)}; bench step wants one.")
    shape = (config.batch_size, len(settings), *sizes.pop(), 3)
    return np.random.default_rng(config.seed).standard_normal(shape, np.float32)


def _ours(config, views):
    devices.check_batch_size(config.batch_size, config.microbatches)
    lowered, state, batch = _lowered(config, views)
    start = time.perf_counter()
    compiled = lowered.compile()
    taken = time.perf_counter() - start

    def call():
        nonlocal state
        state, metrics = compiled(state, batch)
        jax.block_until_ready(metrics)

    print(
        f"{config.method.name}, {config.encoder.name}: batch {config.batch_size} x {views.shape[1]} "
        f"views {list(views.shape[2:])}, {config.precision}, on {jax.device_count()} "
        f"{jax.devices()[0].platform} devices; views made beforehand"
    )
    return _Ours(call, taken, plan.flops(lowered.compiler_ir("hlo").as_hlo_text()))


def _lowered(config, views):
    """The trainer's step, its first state and its batch, the views cut already."""
    built = parts.build(
        config,
        num_examples=max(_EXAMPLES, config.batch_size),
        num_classes=_CLASSES,
        axis_name=train_step.AXIS,
    )
    online_probe = built.online_probe if built.method.needs_labels else None

    def make_views(keys, images):
        return tuple(images[:, number] for number in range(images.shape[1]))

    state = train_state.create(
        built.method,
        built.optimizer,
        make_views((), jnp.asarray(views[: 2 * config.batch_norm.get("groups", 1)])),
        seed=config.seed,
        online_probe=online_probe,
        axis_name=train_step.AXIS,
    )
    rows = np.arange(config.batch_size, dtype=np.int32)
    batch = {"image": views, "index": rows}
    if built.method.needs_labels:
        batch["label"] = rows % _CLASSES
    every_step = train_step.make(
        built.method,
        built.optimizer,
        make_views=make_views,
        seed=config.seed,
        microbatches=config.microbatches,
        online_probe=online_probe,
        measures=lambda done: done % config.log_every_steps == 0,
        axis_name=train_step.AXIS,
    )
    state, batch = devices.replicate(state), devices.shard(batch)
    return train_step.parallel(every_step).lower(state, batch), state, batch


def _matmul(precision):
    a = jnp.ones((_SIDE, _SIDE), precision)
    product = jax.jit(jnp.matmul).lower(a, a).compile()
    return lambda: product(a, a).block_until_ready()
