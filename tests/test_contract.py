"""What every method promises: the number of devices and of microbatches changes nothing."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from byol_jax import (
    collectives,
    losses,
    methods,
    metrics,
    networks,
    optimizers,
    probe,
    train_state,
    train_step,
)
from byol_jax.methods import base
from support import runs

# Three steps wrap every queue. In a fourth, rounding can move an activation across the kink of a
# ReLU: one unit in the last place of its parameters then changes symmetric MoCo's tensors by 2 %.
STEPS, BATCH, EXAMPLES = 3, 16, 40
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


# RAFT and MoCo v3 are BYOL's networks with another loss, symmetric MoCo is MoCo twice.
KIN = ("raft", "mocov3", "moco symmetric")
WITH_SLOW_KIN = [pytest.param(name, marks=[pytest.mark.slow] * (name in KIN)) for name in ALL]


@pytest.mark.parametrize("name", WITH_SLOW_KIN)
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


# The step calls the same collectives for every method; these two use most of them.
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in ("simclr", "moco"))) for n in ALL]
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


@pytest.mark.parametrize("name", WITH_SLOW_KIN)
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


def _prototypes(encoder, projector, *, axis_name=None):
    """Creates a method whose prototypes are parameters that only the objective uses."""
    nets = {"encoder": encoder, "projector": projector}

    def init(key, views):
        base.check_views(views, 2)
        net_key, prototype_key = jax.random.split(key)
        params, stats, outputs = base.init_chain(net_key, nets, views[0])
        shape = (6, outputs["projector"].shape[-1])
        return {**params, "prototypes": jax.random.normal(prototype_key, shape)}, stats, ()

    def forward(params, stats, memory, views, key):
        outputs, stats = base.apply_views(nets, params, stats, views)
        return {"features": outputs["encoder"], "projections": outputs["projector"]}, stats

    def objective(params, outputs, memory, batch, key, step):
        rows = losses.l2_normalize(outputs["projections"])  # [B, V, D]
        temperature = 0.5 + 0.01 * step.astype(jnp.float32)
        scores = jnp.einsum("bvd,kd->bvk", rows, params["prototypes"]) / temperature
        everywhere = collectives.all_gather(scores, axis_name)
        balance = jax.nn.logsumexp(everywhere[:, 0], axis=0)  # each example depends on all others
        targets = jax.lax.stop_gradient(jax.nn.softmax(scores[:, 0] - balance[None, :]))
        each = -jnp.sum(targets * jax.nn.log_softmax(scores[:, 1]), axis=-1)
        return each, (), {"temperature": temperature}

    def update_memory(memory, params, memory_inputs, step):
        return memory

    return base.Method(init, forward, objective, update_memory, coupled=True, axis_name=axis_name)


@pytest.mark.parametrize("microbatches", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_trained_prototypes_are_the_same_on_1_and_4_devices(microbatches):
    def build(axis_name):
        encoder = networks.resnet_tiny(batch_norm=networks.LayerNorm)
        projector = networks.mlp((8,), batch_norm=None)
        method = _prototypes(encoder, projector, axis_name=axis_name)
        optimizer = optimizers.sgd(0.1)
        views = (jnp.zeros((2, 8, 8, 1)),) * 2
        state = train_state.create(method, optimizer, views, seed=0)
        options = {"microbatches": microbatches, "axis_name": axis_name}
        return state, train_step.make(method, optimizer, make_views=_views, seed=0, **options)

    one, one_step = build(None)
    four, four_step = build(train_step.AXIS)
    initial = one.params["prototypes"]
    one_step = jax.jit(one_step)
    four_step = train_step.parallel(four_step)
    four = jax.device_put(
        four, NamedSharding(Mesh(jax.local_devices(), train_step.AXIS), PartitionSpec())
    )
    for i in range(3):
        one, _ = one_step(one, _batch(i))
        parts = jax.tree.map(lambda x: x.reshape(4, -1, *x.shape[1:]), _batch(i))
        four, _ = four_step(four, parts)
    assert np.abs(one.params["prototypes"] - initial).max() > 1e-3
    for x, y in zip(jax.tree.leaves(one.params), jax.tree.leaves(four.params), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


@pytest.mark.parametrize("resident", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_both_backends_train_bitwise_alike(resident):
    batch = _shard(_batch(0))
    mesh = Mesh(jax.local_devices(), train_step.AXIS)
    everywhere = NamedSharding(mesh, PartitionSpec())
    examples = {"image": np.random.default_rng(9).uniform(size=(EXAMPLES, 8, 8, 1))}
    examples = {"image": examples["image"].astype(np.float32), "label": np.arange(EXAMPLES) % 8}
    results = []
    for backend in ("pmap", "shard_map"):
        state, step = _make("simclr", train_step.AXIS)
        state = jax.device_put(state, everywhere)
        parallel = train_step.parallel(step, backend=backend, resident=resident)
        if resident:
            on_devices = jax.device_put(examples, everywhere)
            results.append(parallel(state, {"index": batch["index"]}, on_devices))
        else:
            results.append(parallel(state, batch))
    jax.tree.map(np.testing.assert_array_equal, *jax.device_get(results))


def test_shard_map_refuses_several_processes(monkeypatch):
    _, step = _make("simclr", train_step.AXIS)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="shard_map runs in one process; use the backend pmap"):
        train_step.parallel(step, backend="shard_map")


@pytest.mark.parametrize("microbatches", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_counters_in_the_statistics_stay_integers(microbatches):
    """A counter of the batch norm of other libraries, such as Haiku's, counts updates."""
    inner = networks.resnet_tiny(batch_norm=networks.LayerNorm)

    def init(key, x):
        params, stats = inner.init(key, x)
        return params, {"inner": stats, "counter": jnp.int32(0), "mean": jnp.float32(0.0)}

    def apply(params, stats, x, *, train):
        y, inner_stats = inner.apply(params, stats["inner"], x, train=train)
        counter = stats["counter"] + int(train)
        return y, {"inner": inner_stats, "counter": counter, "mean": jnp.mean(x)}

    projector = networks.mlp((8,), batch_norm=None)
    everywhere = NamedSharding(Mesh(jax.local_devices(), train_step.AXIS), PartitionSpec())
    states = []
    for axis_name in (None, train_step.AXIS):
        method = methods.simclr(networks.Network(init, apply), projector, axis_name=axis_name)
        optimizer = optimizers.sgd(0.1)
        state = train_state.create(method, optimizer, (jnp.zeros((2, 8, 8, 1)),) * 2, seed=0)
        options = {"microbatches": microbatches, "axis_name": axis_name}
        step = train_step.make(method, optimizer, make_views=_views, seed=0, **options)
        if axis_name:
            parallel = train_step.parallel(step)
            state, _ = parallel(jax.device_put(state, everywhere), _shard(_batch(0)))
        else:
            state, _ = jax.jit(step)(state, _batch(0))
        states.append(state.stats["encoder"])
    one, four = states
    assert one["counter"].dtype == four["counter"].dtype == jnp.int32
    assert one["counter"] == four["counter"] == 1
    np.testing.assert_allclose(one["mean"], four["mean"], rtol=1e-6)


def test_a_forgotten_axis_name_is_an_error():
    with pytest.raises(ValueError, match="the method has axis_name None, but the step has 'dev"):
        method = _build("simclr", None)
        train_step.make(
            method, optimizers.sgd(0.1), make_views=_views, seed=0, axis_name=train_step.AXIS
        )
    _, step = _make("simclr", None)
    with pytest.raises(ValueError, match="needs a step with axis_name='devices', not None"):
        train_step.parallel(step)
    net = networks.mlp((4, 4))  # its batch norm has no axis name
    params, stats = net.init(jax.random.key(0), jnp.zeros((4, 4)))
    many = jax.pmap(lambda x: net.apply(params, stats, x, train=True)[0], train_step.AXIS)
    with pytest.raises(ValueError, match="BatchNorm runs on several devices, but has no axis_na"):
        many(jnp.zeros((4, 4, 4)))
    with pytest.raises(ValueError, match="unknown backend 'xmap'; choose one of pmap, shard_map"):
        train_step.parallel(_make("simclr", train_step.AXIS)[1], backend="xmap")


@pytest.mark.parametrize("name", ["simclr", "byol", "moco", "mocov3", "raft"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_method_of_two_views_refuses_another_number(name, count):
    method = _build(name, None)
    with pytest.raises(ValueError, match=f"needs 2 views, not {count}"):
        method.init(jax.random.key(0), (jnp.zeros((2, 8, 8, 1)),) * count)
