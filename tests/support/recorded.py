"""Recordings of what the authors' original code computed, and comparisons with them.

The files are in tests/reference, or in the folder BYOL_JAX_REFERENCE. In a file, `meta` contains
the hyper-parameters and `init/…` the arrays before the first step. For step i, `batch/<i>/…`
contains its inputs, `log/<i>/…` its metrics, and `after/<i>/…` the arrays after it.
"""

import contextlib
import functools
import json
import os
import pathlib
from typing import NamedTuple

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from byol_jax import train_step

PLATFORM = os.environ.get("BYOL_JAX_PLATFORM", "cpu")

# Allowed deviations, relative to the largest value of an array. The recorded code ran on CPUs. The
# convolutions of a GPU sum in another order; a TPU computes float32 products in six bfloat16 parts.
_SCALE = {"cpu": 1, "gpu": 10, "tpu": 10}[PLATFORM]
LOSS = 1e-5 * _SCALE
TENSOR = 1e-4 * _SCALE
MOMENTUM = 5e-4  # larger: a sum of gradients, which are small differences of large terms

FOLDER = pathlib.Path(
    os.environ.get("BYOL_JAX_REFERENCE", pathlib.Path(__file__).parents[1] / "reference")
)


class Trace(NamedTuple):
    """One recording.

    Attributes:
        name: Name of the file, without its suffix.
        meta: Hyper-parameters by name.
        arrays: Arrays by path.
    """

    name: str
    meta: dict
    arrays: dict[str, np.ndarray]

    def under(self, path: str) -> dict[str, np.ndarray]:
        """Returns the arrays whose path begins with `path`, by the remaining part of their path."""
        return {k.removeprefix(path): x for k, x in self.arrays.items() if k.startswith(path)}


def files(kind: str) -> list[pathlib.Path]:
    """Returns the files of all recordings of a kind; there must be at least one."""
    recordings = sorted(FOLDER.glob(f"{kind}*.npz"))
    assert recordings, f"no {kind}*.npz in {FOLDER}"
    return recordings


def load(file: pathlib.Path) -> Trace:
    """Reads a recording from its file."""
    with np.load(file) as arrays:
        everything = {name: arrays[name] for name in arrays.files}
    return Trace(file.stem, json.loads(str(everything.pop("meta"))), everything)


def num_devices() -> int:
    """Returns the largest number of devices that a recording needs."""
    return max(load(file).meta.get("devices", 1) for file in FOLDER.glob("*.npz"))


def kind(name):
    """Returns a decorator that runs a test on every recording of a kind."""
    return pytest.mark.parametrize("file", files(name), ids=lambda file: file.stem)


def compare(name, got, want, tolerance=TENSOR, *, scale=0.0):
    """Asserts that the arrays of two trees are equal within a relative tolerance.

    The tolerance is relative to an array's largest value, or to `scale` if that is larger. Prints
    the largest deviation of the tree.
    """
    assert jax.tree.structure(got) == jax.tree.structure(want), name
    worst = 0.0
    leaves, _ = jax.tree_util.tree_flatten_with_path(want)
    for (path, x), y in zip(leaves, jax.tree.leaves(got), strict=True):
        x = np.asarray(x, np.float64)
        y = np.asarray(y, np.float64)
        assert x.shape == y.shape, (name, path)
        deviation = np.abs(x - y).max() / max(np.abs(x).max(), scale, 1e-30)
        assert deviation <= tolerance, (name, jax.tree_util.keystr(path), deviation)
        worst = max(worst, deviation)
    print(f"{name}: {worst:.1e} of the largest value, {tolerance:.0e} allowed")


def for_some_rounding(check, params):
    """Calls check(params), and again with the last bits of the parameters changed until it passes.

    Two programs that differ in rounding alone part where an activation is so close to 0 that
    rounding decides the branch of a ReLU. In the third step of moco.npz, five changes of the last
    bits in seven cross such a point; the losses then differ by 4e-4 at once. A program that
    computes something else fails for every change.
    """
    try:
        return check(params)
    except AssertionError as error:
        first = error
    for seed in range(16):
        rng = np.random.default_rng(seed)
        with contextlib.suppress(AssertionError):
            return check(jax.tree.map(functools.partial(_change_last_bits, rng), params))
    raise first


def _change_last_bits(rng, x):
    up = rng.random(x.shape) < 0.5
    return np.nextafter(x, np.where(up, np.inf, -np.inf).astype(x.dtype))


BACKENDS = ("pmap", "shard_map", "sharded jit")


def axis_of(backend):
    """Returns the axis name of a step for a backend: plain jit on sharded arrays has none."""
    return None if backend == "sharded jit" else train_step.AXIS


def run(trace, make, state, batch_of, after, backend="pmap"):
    """Trains on the same number of devices as the recording.

    `make(batch)` returns the step's function; recorded random draws are in the batch. Calls
    `after(i, state, metrics)` after each step.
    """
    devices = jax.devices()[: trace.meta["devices"]]
    if len(devices) < trace.meta["devices"]:
        pytest.skip(f"the recording needs {trace.meta['devices']} devices")
    mesh = Mesh(devices, train_step.AXIS)

    def step(state, batch):
        return make(batch)(state, batch)

    if backend == "sharded jit":
        parallel = jax.jit(step)
    else:
        parallel = train_step.parallel(step, devices=devices, backend=backend)
    state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    for i in range(trace.meta["steps"]):
        batch = batch_of(i)
        if backend == "sharded jit":
            batch = _global_batch(batch, mesh)
        state, metrics = parallel(state, batch)
        after(i, jax.device_get(state), jax.device_get(metrics))


def _global_batch(batch, mesh):
    """Merges the devices' batches into a sharded one; all devices have the same random draws."""
    split = NamedSharding(mesh, PartitionSpec(train_step.AXIS))
    whole = NamedSharding(mesh, PartitionSpec())
    arrays = ("image", "label", "index")
    return {
        name: jax.device_put(x.reshape(-1, *x.shape[2:]), split)
        if name in arrays
        else jax.device_put(x[0], whole)
        for name, x in batch.items()
    }


def _split(x, devices):
    return x.reshape(devices, -1, *x.shape[1:])


def batch(trace, i, views, label=None, **draws):
    """Returns recorded views as a batch, split over the devices; all devices get the same draws."""
    devices = trace.meta["devices"]
    arrays = [trace.arrays[f"batch/{i}/{view}"] for view in views]
    size = len(arrays[0])
    label = trace.arrays[f"batch/{i}/{label}"] if label else np.zeros(size)
    batch = {"image": np.stack(arrays, 1), "label": label.astype(np.int32)}
    batch["index"] = np.arange(size, dtype=np.int32)
    parts = {name: _split(x, devices) for name, x in batch.items()}
    return {**parts, **{name: np.stack([x] * devices) for name, x in draws.items()}}
