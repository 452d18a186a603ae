"""What BYOL becomes without one of its parts, and its kin: SimSiam, RAFT and MoCo v3, by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from byol_jax import losses, methods, networks

BATCH, DIM = 6, 3


class _Linear(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dense(4)(x)


_ENCODER, _HEAD = networks.from_linen(_Linear()), networks.mlp((DIM,))


def _make(name, **options):
    options = {"predictor": _HEAD, "decay_schedule": "constant", "decay": 0.5, **options}
    return methods.METHODS[name](_ENCODER, _HEAD, **options)


def _views():
    keys = jax.random.split(jax.random.key(1))
    return tuple(jax.random.normal(key, (BATCH, 4)) for key in keys)


def _outputs(method):
    params, stats, target = method.init(jax.random.key(0), _views())
    target = jax.tree.map(lambda x: x + 0.3, target)  # so that it differs from the online network
    outputs, _ = method.forward(params, stats, target, _views(), None)
    return params, stats, target, outputs


def _mean_loss(method, params, stats, target):
    outputs, _ = method.forward(params, stats, target, _views(), None)
    return jnp.mean(method.objective({}, outputs, target, {}, None, 0)[0])


def _cosines(a, b):
    a, b = (np.asarray(x) / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    return np.sum(a * b, axis=-1)


def _close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_without_a_predictor_the_projections_run_to_the_target():
    method = _make("byol", predictor=None)
    params, _, target, outputs = _outputs(method)
    assert sorted(params) == sorted(target) == ["encoder", "projector"]
    np.testing.assert_array_equal(outputs["predictions"], outputs["projections"])
    got = method.objective({}, outputs, target, {}, None, 0)[0]
    cosines = _cosines(outputs["projections"], outputs["targets"][:, ::-1])
    _close(got, np.sum(2 - 2 * cosines, axis=1))


def test_without_a_moving_average_the_target_is_the_online_network():
    method = _make("byol", decay=0.0)
    params, _, target, _ = _outputs(method)
    moved = method.update_memory(target, params, (), jnp.int32(0))
    jax.tree.map(np.testing.assert_array_equal, moved, {k: params[k] for k in moved})


def test_a_decay_of_1_never_moves_the_target():
    method = _make("byol", decay=1.0)
    params, _, target, _ = _outputs(method)
    moved = method.update_memory(target, params, (), jnp.int32(0))
    jax.tree.map(np.testing.assert_array_equal, moved, target)


def test_without_stop_gradient_both_branches_learn():
    options = {"predictor": None, "decay": 0.0}
    method = _make("byol", stop_gradient=False, **options)
    params, stats, target, outputs = _outputs(method)
    np.testing.assert_array_equal(outputs["targets"], outputs["projections"])
    got = jax.grad(lambda p: _mean_loss(method, p, stats, target))(params)
    stopped = _make("byol", **options)
    own = {name: params[name] for name in target}
    half = jax.grad(lambda p: _mean_loss(stopped, p, stats, own))(params)
    jax.tree.map(lambda a, b: _close(a, 2 * b), got, half)  # the distance is the same both ways


def test_a_moving_average_without_stop_gradient_is_refused():
    with pytest.raises(ValueError, match="decay 0.5 without stop_gradient.*set decay to 0"):
        _make("byol", stop_gradient=False)


def test_raft_aligns_the_views_and_runs_from_the_target():
    method = _make("raft", align_weight=3.0, away_weight=0.5)
    _, _, target, outputs = _outputs(method)
    got, _, metrics = method.objective({}, outputs, target, {}, None, 0)
    predictions = outputs["predictions"]
    align = 2 - 2 * _cosines(predictions[:, 0], predictions[:, 1])
    away = np.mean(2 - 2 * _cosines(predictions, outputs["targets"]), axis=1)
    _close(got, 3.0 * align - 0.5 * away)
    _close(metrics["align"], align.mean())


def test_rafts_predictor_may_stay_out_of_the_running():
    runs, still, aligns = (
        _make("raft", **options)
        for options in ({}, {"predictor_runs": False}, {"away_weight": 0.0})
    )
    params, stats, target, _ = _outputs(runs)
    of = [
        jax.grad(lambda p, m=m: _mean_loss(m, p, stats, target))(params)
        for m in (runs, still, aligns)
    ]
    jax.tree.map(_close, of[1]["predictor"], of[2]["predictor"])
    jax.tree.map(_close, of[1]["encoder"], of[0]["encoder"])
    assert (
        np.abs(
            of[0]["predictor"]["dense1"]["kernel"] - of[1]["predictor"]["dense1"]["kernel"]
        ).max()
        > 1e-3
    )


def test_mocov3_finds_the_other_views_target_in_the_batch():
    method = _make("mocov3", temperature=0.2)
    _, _, target, outputs = _outputs(method)
    got, _, _ = method.objective({}, outputs, target, {}, None, 0)
    predictions, targets = (
        np.asarray(losses.l2_normalize(outputs[name])) for name in ("predictions", "targets")
    )
    wanted = np.zeros(BATCH)
    for v in range(2):
        logits = predictions[:, v] @ targets[:, 1 - v].T / 0.2
        wanted += 2 * 0.2 * (special.logsumexp(logits, axis=1) - np.diag(logits))
    _close(got, wanted)
