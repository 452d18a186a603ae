"""Losses and metrics on a TPU, whose default product rounds to bfloat16, against float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from byol_jax import log_sum_exp, losses, metrics
from support import tpu_products

BATCH = 128
DIM = 64
TEMPERATURES = (0.01, 0.07, 0.1, 0.5)


def _normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def _unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


A = _normal(0, BATCH, DIM)
OTHER = {"apart": _normal(1, BATCH, DIM), "near": A + 1e-3 * _normal(1, BATCH, DIM)}
ROWS = _unit(_normal(2, 256, DIM))
OWN = _unit(_normal(3, BATCH, 8, DIM))

# Each loss is a function of a temperature and the arrays of two views.
LOSSES = {
    "nt_xent": lambda t, a, b: losses.nt_xent(a, b, temperature=t),
    "nt_xent, three views": lambda t, a, b: losses.nt_xent(a, b, (a + b) / 2, temperature=t),
    "info_nce": lambda t, a, b: losses.info_nce(a, b, ROWS.astype(a.dtype), temperature=t),
    "info_nce, own negatives": lambda t, a, b: losses.info_nce(
        a, b, OWN.astype(a.dtype), temperature=t
    ),
    "instance_softmax": lambda t, a, b: losses.instance_softmax(a, b, temperature=t),
    "nce": lambda t, a, b: losses.nce(
        a,
        b,
        OWN.astype(a.dtype),
        num_examples=1000,
        normalizer=jnp.asarray(1000.0 * np.exp(0.5 / t), a.dtype),
        temperature=t,
    ),
    "normalized_squared_error": lambda t, a, b: losses.normalized_squared_error(a, b),
}


def _value_and_gradients(loss, temperature, dtype, a, b):
    def mean(a, b):
        return jnp.mean(loss(temperature, a, b))

    arrays = (jnp.asarray(a, dtype), jnp.asarray(b, dtype))
    value, grads = jax.jit(jax.value_and_grad(mean, (0, 1)))(*arrays)
    return np.float64(value), [np.asarray(g, np.float64) for g in grads]


@pytest.fixture(scope="module")
def tpu():
    with tpu_products.emulated():
        yield


@pytest.mark.parametrize("tile", [2048, 32])
@pytest.mark.parametrize("views", OTHER)
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_as_exact_as_float32_on_a_tpu(name, views, tile, tpu, monkeypatch):
    monkeypatch.setattr(log_sum_exp, "TILE", tile)
    views_are_normalized = name.startswith(("nt_xent", "normalized"))  # by the loss itself
    arrays = [x if views_are_normalized else _unit(x) for x in (A, OTHER[views])]
    arrays = [x.astype(np.float32) for x in arrays]
    for temperature in TEMPERATURES:
        value, grads = _value_and_gradients(LOSSES[name], temperature, jnp.float32, *arrays)
        with jax.enable_x64(True):
            exact, exact_grads = _value_and_gradients(
                LOSSES[name], temperature, jnp.float64, *arrays
            )
        assert abs(value - exact) <= 1e-5
        for grad, exact_grad in zip(grads, exact_grads, strict=True):
            norm = np.linalg.norm(exact_grad)
            if norm > 1e-6:
                assert np.abs(grad - exact_grad).max() <= 1e-4 * np.abs(exact_grad).max()
                assert np.sum(grad * exact_grad) >= 0.9999 * norm * np.linalg.norm(grad)


def test_the_emulation_rounds_products_unless_they_ask_for_precision(tpu):
    x = jnp.asarray(A, jnp.float32)
    exact = A.astype(np.float32).astype(np.float64) @ A.astype(np.float32).astype(np.float64).T
    default = jax.jit(lambda x: x @ x.T)(x)
    highest = jax.jit(lambda x: jnp.matmul(x, x.T, precision="highest"))(x)
    assert np.abs(default - exact).max() > 1e-2
    assert np.abs(highest - exact).max() < 1e-4
    lower = jax.jit(lambda x: losses.nt_xent(x, x[::-1], temperature=0.1, precision="default"))(x)
    full = jax.jit(lambda x: losses.nt_xent(x, x[::-1], temperature=0.1))(x)
    assert np.abs(lower - full).max() > 1e-4  # a user may choose less


def test_metrics_are_exact_on_a_tpu(tpu):
    x = A.astype(np.float32)
    labels = (np.arange(256) % 4).astype(np.int32)
    rows = ROWS.astype(np.float32)

    def measure(dtype):
        features = jnp.asarray(x, dtype)
        table = jnp.asarray(rows, dtype)
        scores = metrics.knn_scores(features, table, labels, num_classes=4, k=9, temperature=0.07)
        return jax.device_get(
            (scores, metrics.uniformity(features), metrics.effective_rank(features))
        )

    got = measure(jnp.float32)
    with jax.enable_x64(True):
        want = measure(jnp.float64)
    for value, exact in zip(got, want, strict=True):
        np.testing.assert_allclose(value, exact, rtol=1e-5, atol=1e-5)
