"""Losses on globally sharded arrays under plain jit: each device computes its share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from byol_jax import log_sum_exp, losses
from byol_jax.plan import costs

LOSSES = {
    "nt_xent": lambda a, b, rows: losses.nt_xent(a, b, temperature=0.5),
    "info_nce": lambda a, b, rows: losses.info_nce(a, b, rows, temperature=0.5),
    "instance_softmax": lambda a, b, rows: losses.instance_softmax(a, b, temperature=0.5),
}


def _operations(loss, axis_type, num_devices):
    """Returns the products' operations per device, of the loss with its gradient."""
    devices = jax.devices()[:num_devices]
    mesh = jax.make_mesh((num_devices,), ("x",), axis_types=(axis_type,), devices=devices)
    rng = np.random.default_rng(0)
    with jax.set_mesh(mesh):
        batch = NamedSharding(mesh, PartitionSpec("x"))
        whole = NamedSharding(mesh, PartitionSpec())
        a, b = (jax.device_put(rng.normal(size=(256, 8)).astype("f"), batch) for _ in range(2))
        rows = jax.device_put(rng.normal(size=(512, 8)).astype("f"), whole)
        step = jax.jit(jax.grad(lambda *x: jnp.mean(loss(*x)), (0, 1)))
        return costs.flops(step.lower(a, b, rows).compile().as_text())


@pytest.mark.parametrize("tile", [2048, 64])
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
@pytest.mark.parametrize("name", LOSSES)
def test_each_device_does_its_share(name, axis_type, tile, monkeypatch):
    monkeypatch.setattr(log_sum_exp, "TILE", tile)
    one = _operations(LOSSES[name], axis_type, 1)
    for num_devices in (2, 4):
        share = _operations(LOSSES[name], axis_type, num_devices) / one
        assert share <= 1.1 / num_devices
