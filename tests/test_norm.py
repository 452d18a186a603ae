"""Batch norm on any number of devices, in groups, and in bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from byol_jax import networks
from support import arrays


def _norm(**options):
    """A batch norm, its scale and bias perturbed, and x [8, 3, 5] far from standard."""
    net = networks.from_linen(networks.BatchNorm(**options))
    params = {"scale": 1 + arrays.normal(1, 5) / 4, "bias": arrays.normal(2, 5)}
    stats = {"mean": arrays.normal(3, 5), "var": 1 + jnp.abs(arrays.normal(4, 5))}
    return net, params, stats, 3.0 * arrays.normal(5, 8, 3, 5) + 1.0


def _numpy(tree):
    """The tree in float64, free of JAX's strict ranks."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def _over_4_devices(**options):
    """What a batch norm gives for x dealt over 4 devices, and its statistics on each."""
    net, params, stats, x = _norm(**options)
    apply = jax.vmap(lambda x: net.apply(params, stats, x, train=True), axis_name="d")
    y, moved = jax.jit(apply)(x.reshape(4, 2, 3, 5))
    return y.reshape(x.shape), moved


def _assert_close(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), got, want)


@pytest.mark.parametrize("unbiased", [False, True])
def test_synced_batch_norm_on_4_devices_is_that_of_the_whole_batch(unbiased):
    net, params, stats, x = _norm(unbiased=unbiased)
    y, moved = arrays.apply(net, params, stats, x, train=True)
    got, everywhere = _over_4_devices(axis_name="d", unbiased=unbiased)
    _assert_close(got, y)
    _assert_close(everywhere, jax.tree.map(lambda leaf: jnp.stack([leaf] * 4), moved))


def test_4_groups_on_one_device_are_4_devices_unsynced():
    net, params, stats, x = _norm(groups=4, unbiased=True)
    y, moved = arrays.apply(net, params, stats, x, train=True)
    got, each = _over_4_devices(unbiased=True)
    _assert_close(got, y)
    _assert_close(jax.tree.map(lambda leaf: leaf.mean(axis=0), each), moved)


@pytest.mark.parametrize("unbiased", [False, True])
def test_a_tenth_of_the_running_statistics_is_new(unbiased):
    net, params, stats, x = _norm(unbiased=unbiased)
    _, moved = arrays.apply(net, params, stats, x, train=True)
    rows, old = _numpy(x).reshape(24, 5), _numpy(stats)
    new = {"mean": rows.mean(axis=0), "var": rows.var(axis=0, ddof=int(unbiased))}
    _assert_close(moved, {name: 0.9 * old[name] + 0.1 * new[name] for name in new})


def test_training_normalizes_by_the_biased_variance_of_the_batch():
    net, params, stats, x = _norm(unbiased=True)
    y, _ = arrays.apply(net, params, stats, x, train=True)
    p, x = _numpy((params, x))
    rows = x.reshape(24, 5)
    unit = (x - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + 1e-5)
    _assert_close(y, unit * p["scale"] + p["bias"])


def test_inference_normalizes_by_the_running_statistics_and_keeps_them():
    net, params, stats, x = _norm(groups=3)  # which do not divide 8: inference does not group
    y, kept = net.apply(params, stats, x, train=False)
    p, s, x = _numpy((params, stats, x))
    _assert_close(y, (x - s["mean"]) / np.sqrt(s["var"] + 1e-5) * p["scale"] + p["bias"])
    assert kept is stats


def test_batch_norm_in_bfloat16_rounds_once_at_the_end():
    net, params, stats, x = _norm()
    stats = {"mean": stats["mean"] + 100.0, "var": stats["var"]}
    x = (x + 100.0).astype(jnp.bfloat16)
    want, _ = arrays.apply(net, params, stats, x.astype(jnp.float32), train=False)
    got, _ = arrays.apply(net, params, stats, x, train=False)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(jnp.float32), want, rtol=2**-8, atol=1e-5)


def test_groups_that_do_not_divide_the_batch_say_what_to_choose():
    net, params, stats, x = _norm(groups=3)
    with pytest.raises(ValueError, match=r"8 examples .* 3 batch norm groups; choose a batch_size"):
        arrays.apply(net, params, stats, x, train=True)
