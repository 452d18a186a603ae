"""Functions made by other functions can be pickled: networks, methods, optimizers, views, steps."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from byol_jax import augment, networks, optimizers, train_state, train_step
from support import runs

VIEW = augment.batched(augment.preset("supervised", size=8))
IMAGES = np.asarray(np.random.default_rng(0).uniform(size=(4, 8, 8, 3)), np.float32)


def _copy(x):
    return pickle.loads(pickle.dumps(x))


def _two_views(keys, images):
    pairs = jax.vmap(lambda key: jax.random.split(key, 2))(keys)
    return VIEW(pairs[:, 0], images), VIEW(pairs[:, 1], images)


def _assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


@pytest.mark.parametrize("kind", list(runs.METHODS))
def test_a_method_survives_pickling(kind):
    nets = {
        "encoder": networks.resnet_tiny(batch_norm=functools.partial(networks.BatchNorm)),
        "projector": networks.mlp((8, 8)),
        "predictor": networks.mlp((8, 8)),
        "context": networks.row_context(8),
    }
    sizes = {"num_examples": 8, "batch_size": 4, "total_steps": 4}
    method = runs.method(kind, nets, **sizes)
    copy = _copy(method)
    assert type(copy) is type(method)
    for name, value in method._asdict().items():
        if not callable(value) and name != "schedules":
            assert getattr(copy, name) == value
    views = (jnp.asarray(IMAGES), jnp.asarray(IMAGES))
    shapes, copied_shapes = (
        jax.eval_shape(functools.partial(m.init, views=views), jax.random.key(0))
        for m in (method, copy)
    )
    assert jax.tree.leaves(copied_shapes) == jax.tree.leaves(shapes)


def test_a_step_survives_pickling():
    method = runs.method(
        "simclr", {"encoder": networks.resnet_tiny(), "projector": networks.mlp((8,))}
    )
    rate = optimizers.cosine(0.1, 10, 5, warmup_epochs=1)
    optimizer = optax.chain(optimizers.lars(rate), optimizers.scale_parts({"projector": 2.0}))
    views = (jnp.asarray(IMAGES), jnp.asarray(IMAGES))
    with pytest.raises((pickle.PicklingError, AttributeError), match="chain"):
        _copy(train_step.make(method, optimizer, make_views=_two_views, seed=0))
    optimizer = optimizers.lars(rate)
    state = train_state.create(method, optimizer, views, seed=0)
    step = train_step.make(method, optimizer, make_views=_two_views, seed=0)
    copy = _copy(step)
    assert copy.axis_name is None
    batch = {"image": IMAGES, "index": np.arange(4, dtype=np.int32)}
    _assert_equal(jax.jit(copy)(state, batch), jax.jit(step)(state, batch))


def test_a_replaced_function_stays_replaced():
    method = runs.method(
        "simclr", {"encoder": networks.resnet_tiny(), "projector": networks.mlp((8,))}
    )
    copy = _copy(method._replace(objective=_two_views))
    assert copy.objective is _two_views
    assert copy.init.__name__ == method.init.__name__


@pytest.mark.parametrize(
    "schedule",
    [
        optimizers.constant(0.1, 10, 5),
        optimizers.cosine(0.1, 10, 5),
        optimizers.steps(0.1, 10, 5, epochs=(1,)),
    ],
)
def test_an_optimizer_and_its_schedule_survive_pickling(schedule):
    params = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}
    for build in optimizers.OPTIMIZERS.values():
        optimizer = build(schedule, weight_decay=0.1)
        copy = _copy(optimizer)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes the step count with floats
            want, _ = optimizer.update(params, optimizer.init(params), params)
            got, _ = copy.update(params, copy.init(params), params)
        _assert_equal(got, want)
