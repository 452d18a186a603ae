"""Optimizers against the same arithmetic in numpy, and schedules at the steps that matter."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

from byol_jax import optimizers

RATES = np.array([0.5, 0.1, 0.3, 0.2], np.float32)  # a rate that changes tells the orders apart


def _schedule(step):
    return jnp.asarray(RATES)[step]


def _params():
    rng = np.random.default_rng(0)
    dense = {"kernel": rng.normal(size=(3, 2)), "bias": rng.normal(size=2)}
    params = {"dense": dense, "bn": {"scale": rng.normal(size=2), "bias": rng.normal(size=2)}}
    return jax.tree.map(np.float32, params)


def _grads(step):
    rng = np.random.default_rng(step + 1)
    return jax.tree.map(lambda leaf: np.float32(rng.normal(size=leaf.shape)), _params())


def _trained(optimizer):
    """The parameters after as many steps as there are RATES."""
    params = jax.tree.map(jnp.asarray, _params())
    state = optimizer.init(params)
    for step in range(len(RATES)):
        updates, state = jax.jit(optimizer.update)(_grads(step), state, params)
        params = optax.apply_updates(params, updates)
    return params


def _by_hand(rule):
    """The same with rule(leaf, grad, velocity, rate, is_kernel) -> (leaf, velocity) of numpy."""
    leaves, tree = jax.tree.flatten(_params())
    is_kernel = [leaf.ndim > 1 for leaf in leaves]
    velocity = [np.zeros_like(leaf) for leaf in leaves]
    for step, rate in enumerate(RATES):
        grads = jax.tree.leaves(_grads(step))
        each = zip(leaves, grads, velocity, [rate] * len(leaves), is_kernel, strict=True)
        leaves, velocity = zip(*(rule(*one) for one in each), strict=True)
    return jax.tree.unflatten(tree, leaves)


def _assert_close(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, want)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_adds_the_decay_to_the_gradient_and_scales_the_momentum_by_the_rate(nesterov):
    def rule(leaf, grad, velocity, rate, is_kernel):
        grad = grad + 0.1 * leaf
        velocity = 0.8 * velocity + grad
        return leaf - rate * (grad + 0.8 * velocity if nesterov else velocity), velocity

    sgd = optimizers.sgd(_schedule, momentum=0.8, weight_decay=0.1, nesterov=nesterov)
    _assert_close(_trained(sgd), _by_hand(rule))


def _adapted(leaf, grad, is_kernel):
    """LARS's gradient: kernels decayed by 0.1, then brought to 0.02 of the weights' length."""
    if not is_kernel:
        return grad
    grad = grad + 0.1 * leaf
    return grad * 0.02 * np.linalg.norm(leaf) / np.linalg.norm(grad)


LARS = {"momentum": 0.8, "weight_decay": 0.1, "trust_coefficient": 0.02}


@pytest.mark.parametrize("nesterov", [False, True])
def test_lars_scales_what_it_accumulated_by_the_rate(nesterov):
    def rule(leaf, grad, velocity, rate, is_kernel):
        grad = _adapted(leaf, grad, is_kernel)
        velocity = 0.8 * velocity + grad
        return leaf - rate * (grad + 0.8 * velocity if nesterov else velocity), velocity

    _assert_close(_trained(optimizers.lars(_schedule, nesterov=nesterov, **LARS)), _by_hand(rule))


@pytest.mark.parametrize("nesterov", [False, True])
def test_lars_with_the_rate_in_the_momentum_accumulates_what_it_scaled(nesterov):
    def rule(leaf, grad, velocity, rate, is_kernel):
        step = rate * _adapted(leaf, grad, is_kernel)
        velocity = 0.8 * velocity + step
        return leaf - (step + 0.8 * velocity if nesterov else velocity), velocity

    lars = optimizers.lars(_schedule, nesterov=nesterov, lr_in_momentum=True, **LARS)
    _assert_close(_trained(lars), _by_hand(rule))


@pytest.mark.parametrize(("weight", "gradient"), [(0.0, 3.0), (2.0, 0.0)])
def test_lars_trusts_fully_where_a_length_is_0(weight, gradient):
    params = {"kernel": jnp.full((2, 2), weight)}
    lars = optimizers.lars(0.5)
    updates, _ = lars.update({"kernel": jnp.full((2, 2), gradient)}, lars.init(params), params)
    np.testing.assert_allclose(updates["kernel"], np.full((2, 2), -0.5 * gradient))


@pytest.mark.parametrize("name", ["sgd", "lars", "adamw"])
@jax.numpy_dtype_promotion("standard")  # optax's Adam raises a float to an integer power
def test_the_kernels_mask_leaves_biases_and_scales_undecayed(name):
    params, zeros = _params(), jax.tree.map(np.zeros_like, _params())
    make = optimizers.OPTIMIZERS[name]
    optimizer = make(0.1, weight_decay=0.1, mask=optimizers.kernels)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    moved = jax.tree.map(lambda leaf: bool(np.any(leaf != 0)), updates)
    assert moved == {
        "dense": {"kernel": True, "bias": False},
        "bn": {"scale": False, "bias": False},
    }


def test_masks_read_the_names_of_any_pytree():
    pair = collections.namedtuple("pair", ["weights", "bias"])
    leaf = np.zeros((1, 1))  # parameters stacked along a further axis
    tree = {"a": pair(leaf, leaf), "b": [leaf, {"scale": leaf}]}
    assert optimizers.kernels(tree) == {"a": pair(True, False), "b": [True, {"scale": False}]}
    assert all(jax.tree.leaves(optimizers.everything(tree)))


def test_the_kernels_mask_recognizes_biases_of_other_libraries():
    matrix = np.zeros((2, 3))
    vector = np.zeros(3)

    class Model(nnx.Module):
        def __init__(self):
            self.dense = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
            self.norm = nnx.BatchNorm(3, rngs=nnx.Rngs(0))

    state = nnx.state(Model(), nnx.Param)
    mask = nnx.to_pure_dict(optimizers.kernels(state))
    assert mask == {
        "dense": {"bias": False, "kernel": True},
        "norm": {"bias": False, "scale": False},
    }
    boxed = {"w": nn.Partitioned(matrix, (None, "x")), "v": nn.Partitioned(vector, ("x",))}
    assert jax.tree.leaves(optimizers.kernels(boxed)) == [False, True]
    haiku = {"linear": {"w": matrix, "b": vector}, "norm": {"scale": vector, "offset": vector}}
    assert optimizers.kernels(haiku) == {
        "linear": {"w": True, "b": False},
        "norm": {"scale": False, "offset": False},
    }
    assert optimizers.kernels([matrix, vector]) == [True, False]  # Keras


@pytest.mark.parametrize("name", ["sgd", "lars", "adamw"])
def test_a_mask_that_is_a_string_is_refused(name):
    with pytest.raises(ValueError, match="not the string 'kernels'; pass optimizers.MASKS"):
        optimizers.OPTIMIZERS[name](0.1, mask="kernels")


@jax.numpy_dtype_promotion("standard")
def test_adamw_is_optax_adamw_on_kernels():
    mask = {"dense": {"kernel": True, "bias": False}, "bn": {"scale": False, "bias": False}}
    want = optax.adamw(_schedule, 0.8, 0.9, 1e-6, weight_decay=0.1, mask=mask)
    got = optimizers.adamw(_schedule, b1=0.8, b2=0.9, eps=1e-6, weight_decay=0.1)
    _assert_close(_trained(got), _trained(want))


# Schedules, for 10 epochs of 4 steps


def _values(name, **options):
    schedule = optimizers.SCHEDULES[name](2.0, 40, 4, **options)
    return np.array([schedule(jnp.int32(step)) for step in range(41)])


def test_constant_is_the_peak_at_every_step():
    np.testing.assert_array_equal(_values("constant"), np.full(41, 2.0))


def test_cosine_warms_up_from_0_to_the_peak_and_falls_to_0():
    values = _values("cosine", warmup_epochs=2.5)
    np.testing.assert_allclose(values[:11], np.linspace(0, 2, 11), rtol=1e-6)
    np.testing.assert_allclose(values[10:], 1 + np.cos(np.pi * np.arange(31) / 30), atol=1e-6)


def test_cosine_without_a_warm_up_starts_at_the_peak_and_ends_at_its_final_value():
    values = _values("cosine", final=0.5)
    np.testing.assert_allclose(values[[0, 20, 40]], [2.0, 1.25, 0.5], rtol=1e-6)
    assert np.all(np.diff(values) < 0)


@pytest.mark.parametrize("warmup_epochs", [0, 2])
def test_per_epoch_keeps_each_epochs_first_value(warmup_epochs):
    smooth = _values("cosine", warmup_epochs=warmup_epochs)
    stairs = _values("cosine", warmup_epochs=warmup_epochs, per_epoch=True)
    np.testing.assert_array_equal(stairs[:40], np.repeat(smooth[:40:4], 4))


def test_a_warm_up_longer_than_the_training_ends_with_it():
    values = _values("cosine", warmup_epochs=100)
    np.testing.assert_allclose(values[:40], 2.0 * np.arange(40) / 39, rtol=1e-6)


def test_steps_multiply_the_rate_at_the_first_step_of_their_epochs():
    want = np.repeat([2.0, 0.2, 0.02], [12, 12, 17])  # and not one step later
    np.testing.assert_allclose(_values("steps", epochs=(3, 6)), want, rtol=1e-6)


def test_parts_move_by_their_own_multiple_of_the_learning_rate():
    params = {"encoder": {"w": jnp.ones(2)}, "predictor": {"w": jnp.ones(2)}}
    optimizer = optax.chain(optimizers.sgd(0.1), optimizers.scale_parts({"predictor": 10.0}))
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    np.testing.assert_allclose(updates["encoder"]["w"], [-0.1, -0.1], rtol=1e-6)
    np.testing.assert_allclose(updates["predictor"]["w"], [-1.0, -1.0], rtol=1e-6)


def test_a_multiplier_of_no_network_names_those_there_are():
    optimizer = optimizers.scale_parts({"predicter": 10.0})
    params = {"encoder": jnp.ones(2), "predictor": jnp.ones(2)}
    with pytest.raises(ValueError, match="unknown network 'predicter' .*encoder, predictor"):
        optimizer.update(params, optimizer.init(params), params)
