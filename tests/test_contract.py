"""What every method promises: the number of devices and of microbatches changes nothing."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from byol_jax import metrics, networks, optimizers, probe, train_state, train_step
from support import runs

STEPS, BATCH, EXAMPLES = 5, 16, 40
ALL = list(runs.METHODS)


def _build(name, axis_name):
    norm = functools.partial(networks.BatchNorm, axis_name=axis_name)
    nets = {
        "encoder": networks.resnet_tiny(batch_norm=norm),
        "projector": networks.mlp((12, 8), batch_norm=norm, hidden_bias=False),
        "predictor": networks.mlp((12, 8), batch_norm=norm, hidden_bias=False),
        "context": networks.row_context(12),
    }
    return _method(name, nets, axis_name)


def _method(name, nets, axis_name):
    sizes = {"num_examples": EXAMPLES, "batch_size": BATCH, "total_steps": 20}
    return runs.method(name, nets, **sizes, axis_name=axis_name)


def _views(keys, images):
    def noisy(key, image):
        return image + 0.1 * jax.random.normal(key, image.shape)

    pairs = jax.vmap(lambda key: jax.random.split(key, 2))(keys)
    return tuple(jax.vmap(noisy)(pairs[:, v], images) for v in range(2))


def _batch(step):
    rng = np.random.default_rng(step)
    return {
        "image": rng.uniform(size=(BATCH, 8, 8, 1)).astype(np.float32),
        "index": rng.integers(0, EXAMPLES, BATCH).astype(np.int32),
        "label": rng.integers(0, 8, BATCH).astype(np.int32),
    }


def _make(name, axis_name, microbatches=1):
    method, optimizer = _build(name, axis_name), optimizers.sgd(0.003)
    views = (jnp.zeros((2, 8, 8, 1)),) * 2
    online_probe = probe.Probe(8, optimizers.sgd(0.1))
    state = train_state.create(
        _build(name, None), optimizer, views, seed=0, online_probe=online_probe
    )
    step = train_step.make(
        method,
        optimizer,
        make_views=_views,
        seed=0,
        microbatches=microbatches,
        online_probe=online_probe,
        axis_name=axis_name,
    )
    return state, step


def _train(step, state, split=lambda batch: batch):
    losses = []
    for i in range(STEPS):
        state, metrics = step(state, split(_batch(i)))
        losses.append(float(np.ravel(metrics["loss"])[0]))
    return losses, state


def _shard(batch):
    return {name: x.reshape(4, -1, *x.shape[1:]) for name, x in batch.items()}


def _assert_same(got, want):
    """Losses to 1e-5, tensors to 1e-4 of their largest value."""
    np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
    for a, b in zip(jax.tree.leaves(got[1]), jax.tree.leaves(want[1]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * max(np.abs(b).max(), 0.02))


@pytest.mark.parametrize("name", ALL)
def test_4_devices_train_as_one(name):
    state, step = _make(name, None)
    one = _train(jax.jit(step), state)
    state, step = _make(name, train_step.AXIS)
    everywhere = NamedSharding(Mesh(jax.local_devices(), train_step.AXIS), PartitionSpec())
    chex.clear_trace_counter()
    four_step = train_step.parallel(chex.assert_max_traces(step, n=1))
    four = _train(four_step, jax.device_put(state, everywhere), _shard)
    _assert_same(four, one)
    for leaf in jax.tree.leaves(four[1]):
        copies = [np.asarray(shard.data) for shard in leaf.addressable_shards]
        assert len(copies) == 4 and all(np.array_equal(copies[0], c) for c in copies)


# RAFT and MoCo v3 are BYOL's networks with another loss, symmetric MoCo is MoCo twice.
KIN = ("raft", "mocov3", "moco symmetric")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in KIN)) for name in ALL]
)
def test_the_step_runs_under_vmap_and_shard_map(name):
    state, step = _make(name, None)
    one_state, one = jax.jit(step)(state, _batch(0))
    state, step = _make(name, "d")
    vmapped = jax.vmap(step, in_axes=(None, 0), out_axes=(None, None), axis_name="d")
    mesh = Mesh(jax.local_devices(), "d")
    specs = {"in_specs": (PartitionSpec(), PartitionSpec("d")), "out_specs": PartitionSpec()}
    mapped = jax.shard_map(step, mesh=mesh, check_vma=False, **specs)
    for many, batch in ((vmapped, _shard(_batch(0))), (mapped, _batch(0))):
        many_state, metrics = jax.jit(many)(state, batch)
        _assert_same(([metrics["loss"]], many_state), ([one["loss"]], one_state))


def _no_norm(name, axis_name):
    """The method without batch norm, whose statistics are those of a microbatch."""
    head = networks.mlp((12, 8), batch_norm=None)
    nets = {
        "encoder": networks.from_linen(_Plain()),
        "projector": head,
        "predictor": head,
        "context": networks.row_context(12),
    }
    return _method(name, nets, axis_name)


class _Plain(networks.network.nn.Module):
    @networks.network.nn.compact
    def __call__(self, x, *, train):
        return networks.network.nn.Dense(16)(x.reshape(len(x), -1))


@pytest.mark.parametrize("name", ALL)
def test_4_microbatches_train_as_one(name):
    optimizer = optimizers.sgd(0.003)
    method = _no_norm(name, None)
    state = train_state.create(method, optimizer, (jnp.zeros((2, 8, 8, 1)),) * 2, seed=0)
    make = functools.partial(train_step.make, method, optimizer, make_views=_views, seed=0)
    one, four = (_train(jax.jit(make(microbatches=m)), state) for m in (1, 4))
    _assert_same(four, one)


def _undrawn(keys, images):
    del keys
    return images, images[..., ::-1, :]


@pytest.mark.parametrize("axis_name", [None, "d"])
def test_the_monitor_sees_the_projections_of_all_devices(axis_name):
    method, optimizer = _no_norm("simclr", None), optimizers.sgd(0.003)
    views = _undrawn((), _batch(0)["image"])
    state = train_state.create(method, optimizer, views, seed=0)
    outputs, _ = method.forward(state.params, state.stats, (), views, None)
    first, second = outputs["projections"].swapaxes(0, 1)
    method, options = _no_norm("simclr", axis_name), {"make_views": _undrawn, "seed": 0}
    step, batch = train_step.make(method, optimizer, axis_name=axis_name, **options), _batch(0)
    if axis_name:
        step, batch = jax.vmap(step, (None, 0), (None, None), axis_name=axis_name), _shard(batch)
    _, measured = jax.jit(step)(state, batch)
    wanted = {
        "spread": metrics.spread(first),
        "feature_spread": metrics.spread(outputs["features"][:, 0]),
        "effective_rank": metrics.effective_rank(first),
        "uniformity": metrics.uniformity(first),
        "alignment": metrics.alignment(first, second),
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(measured[name], value, rtol=1e-4, err_msg=name)


def test_the_measures_of_a_sample_are_taken_when_due():
    method, optimizer = _no_norm("simclr", None), optimizers.sgd(0.003)
    state = train_state.create(method, optimizer, (jnp.zeros((2, 8, 8, 1)),) * 2, seed=0)
    options = {"make_views": _views, "seed": 0, "measures": lambda step: step % 2 == 0}
    step = jax.jit(train_step.make(method, optimizer, **options))
    state, first = step(state, _batch(0))
    _, second = step(state, _batch(1))
    assert np.isnan(first["effective_rank"]) and np.isfinite(second["effective_rank"])
    assert np.isfinite(first["spread"])


def test_a_batch_that_does_not_divide_says_what_to_choose():
    state, step = _make("simclr", None, microbatches=3)
    with pytest.raises(ValueError, match=r"multiple of devices \* 3"):
        step(state, _batch(0))
