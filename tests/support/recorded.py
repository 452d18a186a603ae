"""What the authors' own code computed, read from reference/ (or BYOL_JAX_REFERENCE).

A file's `meta` holds every hyper-parameter; `init/…`, `batch/<i>/…`, `log/<i>/…` and `after/<i>/…`
are the arrays before the first step, into step i, and out of it.
"""

import json
import os
import pathlib
from typing import NamedTuple

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from byol_jax import train_step

LOSS, TENSOR = 1e-5, 1e-4  # allowed deviations, of the largest value
MOMENTUM = 5e-4  # a sum of gradients, which are small differences of large terms

FOLDER = pathlib.Path(
    os.environ.get("BYOL_JAX_REFERENCE", pathlib.Path(__file__).parents[1] / "reference")
)


class Trace(NamedTuple):
    """One recording: its settings and its arrays by their path."""

    name: str
    meta: dict
    arrays: dict[str, np.ndarray]

    def under(self, path: str) -> dict[str, np.ndarray]:
        """The arrays below `path`, which ends in the separator, by the rest of their names."""
        return {k.removeprefix(path): x for k, x in self.arrays.items() if k.startswith(path)}


def files(kind: str) -> list[pathlib.Path]:
    """Every recording of a kind; there must be one."""
    found = sorted(FOLDER.glob(f"{kind}*.npz"))
    assert found, f"no {kind}*.npz in {FOLDER}"
    return found


def load(file: pathlib.Path) -> Trace:
    """Reads a recording."""
    with np.load(file) as arrays:
        everything = {name: arrays[name] for name in arrays.files}
    return Trace(file.stem, json.loads(str(everything.pop("meta"))), everything)


def num_devices() -> int:
    """The most devices that any recording was made on."""
    return max(load(file).meta.get("devices", 1) for file in FOLDER.glob("*.npz"))


def kind(name):
    """Runs a test on every recording of a kind."""
    return pytest.mark.parametrize("file", files(name), ids=lambda file: file.stem)


def compare(what, got, want, tolerance=TENSOR, *, scale=0.0):
    """Holds every array of a tree to `tolerance` of its largest value, or of `scale` if larger.

    Prints the largest deviation of the tree.
    """
    assert jax.tree.structure(got) == jax.tree.structure(want), what
    worst = 0.0
    leaves, _ = jax.tree_util.tree_flatten_with_path(want)
    for (path, x), y in zip(leaves, jax.tree.leaves(got), strict=True):
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        assert x.shape == y.shape, (what, path)
        deviation = np.abs(x - y).max() / max(np.abs(x).max(), scale, 1e-30)
        assert deviation <= tolerance, (what, jax.tree_util.keystr(path), deviation)
        worst = max(worst, deviation)
    print(f"{what}: {worst:.1e} of the largest value, {tolerance:.0e} allowed")


def run(trace, make, state, batch_of, after):
    """Trains through the engine on as many devices as the recording; after(i, state, metrics).

    make(batch) -> the step's function; a draw that was recorded comes in the batch.
    """
    devices = jax.devices()[: trace.meta["devices"]]
    everywhere = NamedSharding(Mesh(devices, train_step.AXIS), PartitionSpec())
    step = train_step.parallel(lambda state, batch: make(batch)(state, batch), devices=devices)
    state = jax.device_put(state, everywhere)
    for i in range(trace.meta["steps"]):
        state, metrics = step(state, batch_of(i))
        after(i, jax.device_get(state), jax.device_get(metrics))


def _deal(x, devices):
    return x.reshape(devices, -1, *x.shape[1:])


def batch(trace, i, views, label=None, **draws):
    """Two recorded views as one array of images, dealt over the devices; draws go to all of them."""
    devices = trace.meta["devices"]
    arrays = [trace.arrays[f"batch/{i}/{view}"] for view in views]
    size = len(arrays[0])
    label = trace.arrays[f"batch/{i}/{label}"] if label else np.zeros(size)
    batch = {"image": np.stack(arrays, 1), "label": label.astype(np.int32)}
    batch["index"] = np.arange(size, dtype=np.int32)
    dealt = {name: _deal(x, devices) for name, x in batch.items()}
    return {**dealt, **{name: np.stack([x] * devices) for name, x in draws.items()}}
