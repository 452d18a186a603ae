"""Contrastive losses in tiles: the plain formula's values and gradients, and never its logits."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from byol_jax import log_sum_exp, losses

SIZES = [(8, 8), (9, 16), (13, 7), (1, 33), (20, 5)]  # queries and rows; the tile's side is 4


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(log_sum_exp, "TILE", 4)


def _normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def _over_rows(queries, rows, excluded=None):
    """log_sum_exp.over_rows, where each query's sum leaves out one row or none."""
    ids = jnp.full(len(queries), -1) if excluded is None else excluded
    valid = jnp.ones(len(rows), bool)
    return log_sum_exp.over_rows(queries, ids, log_sum_exp.Rows(rows, jnp.arange(len(rows)), valid))


def _plain(queries, rows, excluded=None):
    """The oracle: all logits in one array."""
    logits = queries @ rows.T
    if excluded is not None:
        left_out = jnp.arange(len(rows))[None, :] == excluded[:, None]
        logits = jnp.where(left_out, -jnp.inf, logits)
    return jax.nn.logsumexp(logits, axis=1)


def _plain_nt_xent(a, b, *, temperature):
    """Chen et al. 2020, equation 1, over 2N rows."""
    z = losses.l2_normalize(jnp.concatenate([a, b]))
    own = jnp.arange(len(z))
    each = (
        _plain(z / temperature, z, own) - jnp.sum(z * jnp.roll(z, len(a), axis=0), 1) / temperature
    )
    return (each[: len(a)] + each[len(a) :]) / 2


def _plain_info_nce(queries, positives, negatives, *, temperature):
    positive = jnp.sum(queries * positives, axis=1, keepdims=True)
    logits = jnp.concatenate([positive, queries @ negatives.T], axis=1) / temperature
    return jax.nn.logsumexp(logits, axis=1) - logits[:, 0]


def _plain_instance_softmax(queries, rows, index, *, temperature):
    logits = queries @ rows.T / temperature
    return jax.nn.logsumexp(logits, axis=1) - logits[jnp.arange(len(index)), index]


CASES = {
    "nt_xent": (losses.nt_xent, _plain_nt_xent, (_normal(0, 7, 5), _normal(1, 7, 5))),
    "info_nce": (
        losses.info_nce,
        _plain_info_nce,
        (_normal(0, 9, 5), _normal(1, 9, 5), _normal(2, 21, 5)),
    ),
    "instance_softmax": (
        lambda queries, rows, **kwargs: losses.instance_softmax(queries, rows, INDEX, **kwargs),
        lambda queries, rows, **kwargs: _plain_instance_softmax(queries, rows, INDEX, **kwargs),
        (_normal(0, 6, 5), _normal(1, 11, 5)),
    ),
}
INDEX = jnp.array([10, 0, 3, 3, 7, 8])


def _close(got, want, rtol=2e-5):
    """Close in relation to the largest number of the array."""
    got, want = np.asarray(got, np.float32), np.asarray(want, np.float32)
    assert np.isfinite(want).all()
    np.testing.assert_allclose(got, want, rtol=0, atol=rtol * np.abs(want).max())


def _value_and_pullback(loss, arrays):
    """The losses, and the gradients of their sum with weights that differ by example."""
    each, back = jax.vjp(loss, *arrays)
    return each, back(jnp.linspace(0.5, 2.0, len(each), dtype=each.dtype))


def _agree(got, want, arrays, rtol=2e-5):
    jax.tree.map(
        functools.partial(_close, rtol=rtol),
        jax.jit(functools.partial(_value_and_pullback, got))(arrays),
        _value_and_pullback(want, arrays),
    )


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_tiles_give_the_log_sum_exp_and_its_gradients(size, exclude, small_tiles):
    queries, rows = _normal(0, size[0], 3), _normal(1, size[1], 3)
    excluded = (jnp.arange(size[0]) * 5) % size[1] if exclude else None
    _agree(
        lambda *arrays: _over_rows(*arrays, excluded),
        lambda *arrays: _plain(*arrays, excluded),
        (queries, rows),
    )


@pytest.mark.parametrize("temperature", [1e-3, 0.1, 100.0])
@pytest.mark.parametrize("name", CASES)
def test_a_loss_in_tiles_is_the_plain_formula(name, temperature, small_tiles):
    loss, plain, arrays = CASES[name]
    kwargs = {"temperature": temperature}
    # At 1e-3 the logits are near 5000, where float32 has steps of 5e-4, in the plain formula too.
    rtol = 1e-3 if temperature < 0.1 else 2e-5
    _agree(functools.partial(loss, **kwargs), functools.partial(plain, **kwargs), arrays, rtol)


@pytest.mark.parametrize("name", CASES)
def test_bfloat16_arrays_give_float32_losses_of_the_same_numbers(name, small_tiles):
    loss, plain, arrays = CASES[name]
    arrays = tuple(x.astype(jnp.bfloat16) for x in arrays)
    each, grads = _value_and_pullback(lambda *x: loss(*x, temperature=0.1), arrays)
    wide = tuple(x.astype(jnp.float32) for x in arrays)
    want, want_grads = _value_and_pullback(lambda *x: plain(*x, temperature=0.1), wide)
    assert each.dtype == jnp.float32 and {g.dtype for g in grads} == {jnp.dtype(jnp.bfloat16)}
    _close(each, want)
    jax.tree.map(functools.partial(_close, rtol=1e-2), grads, want_grads)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_ties_and_extremes_neither_overflow_nor_give_nan(scale, small_tiles):
    rows = jnp.full((9, 4), scale)
    each, grads = _value_and_pullback(_over_rows, (rows, rows))
    np.testing.assert_allclose(each, 4 * scale**2 + np.log(9.0), rtol=1e-6)
    _close(grads[0], jnp.linspace(0.5, 2.0, 9)[:, None] * rows)
    far = jnp.array([-3e4] * 8 + [3e4])[:, None]  # the last tile, alone, holds the maximum
    np.testing.assert_allclose(_over_rows(jnp.ones((5, 1)), far), 3e4)


def test_a_first_tile_of_excluded_rows_alone_leaves_no_trace(monkeypatch):
    monkeypatch.setattr(log_sum_exp, "TILE", 1)
    rows, own = _normal(0, 3, 2), jnp.arange(3)
    _agree(
        lambda *arrays: _over_rows(*arrays, own),
        lambda *arrays: _plain(*arrays, own),
        (rows, rows),
    )


def _pmap(function):
    return jax.pmap(function, axis_name="d")


def _shard_map(function):
    def one(*arrays):
        return jax.tree.map(lambda x: x[None], function(*(x[0] for x in arrays)))

    mesh, spec = Mesh(jax.devices()[:4], "d"), PartitionSpec("d")
    return jax.jit(jax.shard_map(one, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False))


@pytest.mark.parametrize("over", [_pmap, _shard_map, lambda f: jax.vmap(f, axis_name="d")])
def test_nt_xent_in_tiles_on_4_devices_is_the_plain_loss_of_one(over, small_tiles):
    a, b = _normal(0, 12, 5), _normal(1, 12, 5)
    weights = jnp.linspace(0.5, 2.0, 12)

    def on_device(a, b, weights):
        loss = functools.partial(losses.nt_xent, temperature=0.1, axis_name="d")
        each, back = jax.vjp(loss, a, b)
        return each, back(weights)

    split = (x.reshape(4, 3, *x.shape[1:]) for x in (a, b, weights))
    got = jax.tree.map(lambda x: x.reshape(12, *x.shape[2:]), over(on_device)(*split))
    want, back = jax.vjp(functools.partial(_plain_nt_xent, temperature=0.1), a, b)
    jax.tree.map(_close, got, (want, back(weights)))


def test_a_temperature_that_is_learned_gets_its_gradient(small_tiles):
    a, b = CASES["nt_xent"][2]
    got, want = (
        jax.grad(lambda t, f=f: f(a, b, temperature=t).sum())(0.3)
        for f in (losses.nt_xent, _plain_nt_xent)
    )
    np.testing.assert_allclose(got, want, rtol=1e-5)


def _products(function, *arrays):
    """How many products of matrices the compiled program has."""
    text = jax.jit(function).lower(*arrays).compile().as_text()
    return len(re.findall(r" dot\(", text))


def test_nobody_pays_for_what_is_not_asked(small_tiles):
    queries, rows = _normal(0, 8, 3), _normal(1, 16, 3)

    def total(queries, rows):
        return _over_rows(queries, rows).sum()

    assert _products(total, queries, rows) == 1
    assert _products(jax.grad(total), queries, rows) == 2
    assert _products(jax.grad(total, argnums=(0, 1)), queries, rows) == 4


@pytest.mark.parametrize("name", CASES)
def test_the_logits_are_never_held_together(name, monkeypatch):
    monkeypatch.setattr(log_sum_exp, "TILE", 64)
    loss, plain, arrays = CASES[name]
    arrays = tuple(jnp.tile(x, (256, 1)) for x in arrays)
    index = jnp.tile(INDEX, 256)
    monkeypatch.setitem(globals(), "INDEX", index)

    def scratch(loss):
        grad = jax.grad(lambda *x: loss(*x, temperature=0.1).sum(), tuple(range(len(arrays))))
        return jax.jit(grad).lower(*arrays).compile().memory_analysis().temp_size_in_bytes

    assert scratch(loss) < scratch(plain) / 10
