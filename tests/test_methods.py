"""What each method computes, by hand: its loss, what it remembers, and where gradients stop."""

import collections
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from byol_jax import losses, methods, networks
from byol_jax.methods import base
from support import runs

BATCH, DIM, EXAMPLES = 6, 3, 10


class _Linear(nn.Module):
    """An encoder that no example shares with another."""

    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dense(4)(x)


def _normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def _key():
    return jax.random.key(0)


def _make(name, batch_norm=None, **options):
    """A method of small networks, with or without batch norm in the projector."""
    head = networks.mlp((5, DIM), batch_norm=batch_norm)
    if name in ("byol", "mocov3", "raft"):
        options = {"predictor": head, "decay_schedule": "constant", **options}
    return methods.METHODS[name](networks.from_linen(_Linear()), head, **options)


def _views(seed=0):
    return (_normal(seed, BATCH, 4), _normal(seed + 100, BATCH, 4))


def _assert_trees(compare, got, want):
    jax.tree.map(compare, got, want)


def _close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


# BYOL


def _byol_outputs(predictions, targets):
    pair = {"predictions": predictions, "targets": targets}
    return {name: base.stack_views(list(views)) for name, views in pair.items()}


def test_byols_loss_spans_0_to_8():
    a, b = _normal(0, BATCH, DIM), _normal(1, BATCH, DIM)
    objective = _make("byol").objective
    for sign, want in [(1.0, 0.0), (-1.0, 8.0)]:
        outputs = _byol_outputs((a, b), (3.0 * sign * b, sign * a))
        _close(objective({}, outputs, None, {}, None, 0)[0], np.full(BATCH, want))


def test_each_prediction_of_byol_meets_the_other_views_target():
    predictions, targets = _views(0), _views(7)
    got = _make("byol").objective({}, _byol_outputs(predictions, targets), None, {}, None, 0)[0]
    p, z = (np.stack([losses.l2_normalize(v) for v in views]) for views in (predictions, targets))
    _close(got, np.sum((p[0] - z[1]) ** 2, axis=1) + np.sum((p[1] - z[0]) ** 2, axis=1))


@pytest.mark.parametrize("name", ["byol", "moco"])
def test_no_gradient_reaches_the_target_network(name):
    method = _make(name, **({"capacity": 12} if name == "moco" else {}))
    params, stats, memory = method.init(_key(), _views())

    def loss(target, online):
        held = target if name == "byol" else memory._replace(target=target)
        outputs, _ = method.forward(online, stats, held, _views(), _key())
        return method.objective({}, outputs, memory, {}, None, 0)[0].mean()

    target = memory if name == "byol" else memory.target
    to_target, to_online = jax.grad(loss, argnums=(0, 1))(target, params)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(to_target))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(to_online["encoder"]))


def test_byols_target_follows_the_online_network_by_the_scheduled_decay():
    method = _make("byol", decay=0.9, decay_schedule="cosine", total_steps=8)
    params, _, target = method.init(_key(), _views())
    params = jax.tree.map(lambda leaf: leaf + 1.0, params)
    for step in (0, 4, 8):
        decay = 1 - 0.1 * (np.cos(np.pi * step / 8) + 1) / 2
        got = method.update_memory(target, params, (), jnp.int32(step))
        online = {name: params[name] for name in ("encoder", "projector")}
        weighed = jax.tree.map(lambda t, o, d=decay: d * t + (1 - d) * o, target, online)
        _assert_trees(_close, got, weighed)


def test_byols_constant_decay_is_the_same_at_every_step():
    method = _make("byol", decay=0.75, total_steps=8)
    for step in (0, 8):
        zeros, ones = ({"encoder": leaf, "projector": leaf} for leaf in (jnp.zeros(2), jnp.ones(2)))
        moved = method.update_memory(zeros, ones, (), jnp.int32(step))
        _close(moved["encoder"], np.full(2, 0.25))


@pytest.mark.parametrize("schedule", ["cosine", "odd"])
def test_a_decay_schedule_that_cannot_be_says_what_to_give(schedule):
    with pytest.raises(ValueError, match="choose 'constant', or 'cosine' with total_steps"):
        _make("byol", decay_schedule=schedule)


def test_byols_target_starts_as_the_online_network_or_drawn_anew():
    for separate, same in [(False, True), (True, False)]:
        params, _, target = _make("byol", separate_target=separate).init(_key(), _views())
        for part in ("encoder", "projector"):
            pairs = zip(*map(jax.tree.leaves, (target[part], params[part])), strict=True)
            kernels = [(a, b) for a, b in pairs if a.ndim > 1]
            assert all(bool(np.array_equal(a, b)) == same for a, b in kernels)


@pytest.mark.parametrize("kind", base.TARGET_STATS)
def test_target_stats_are_the_targets_own_or_copied_or_averaged(kind):
    options = {"batch_norm": networks.BatchNorm, "decay": 0.75, "separate_target": True}
    method = _make("byol", target_stats=kind, **options)
    own_method = _make("byol", target_stats="own", **options)
    params, stats, memory = method.init(_key(), _views())
    _, moved = method.forward(params, stats, memory, _views(), None)
    _, own = own_method.forward(params, stats, memory, _views(), None)
    online = moved["projector"]
    averaged = jax.tree.map(lambda o, n: 0.75 * o + 0.25 * n, stats["target"]["projector"], online)
    want = {"own": own["target"]["projector"], "copied": online, "averaged": averaged}
    _assert_trees(_close, moved["target"]["projector"], want[kind])
    for other in set(want) - {kind}:
        assert np.abs(want[kind]["bn1"]["mean"] - want[other]["bn1"]["mean"]).max() > 1e-3


def test_an_unknown_kind_of_target_stats_names_the_known_ones():
    method = _make("byol", target_stats="odd")
    params, stats, memory = method.init(_key(), _views())
    with pytest.raises(ValueError, match="'odd'; choose one of own, copied, averaged"):
        method.forward(params, stats, memory, _views(), None)


# MoCo


def test_mocos_queue_is_a_deque_of_its_keys_which_are_one_long():
    method = _make("moco", capacity=2 * BATCH + 1, decay=0.5)
    params, stats, memory = method.init(_key(), _views())
    queue = collections.deque(np.asarray(memory.queue.rows), maxlen=2 * BATCH + 1)
    for step in range(3):
        outputs, stats = method.forward(params, stats, memory, _views(step), _key())
        _, kept, _ = method.objective({}, outputs, memory, {}, None, 0)
        memory = method.update_memory(memory, params, kept, jnp.int32(step))
        queue.extend(np.asarray(outputs["keys"][:, 0]))
        _close(np.linalg.norm(outputs["keys"][:, 0], axis=1), np.ones(BATCH))
    assert memory.queue.cursor == 3 * BATCH % (2 * BATCH + 1)
    np.testing.assert_array_equal(np.roll(memory.queue.rows, -memory.queue.cursor, 0), queue)


def test_mocos_loss_tells_the_key_from_the_queue_before_the_push():
    method = _make("moco", capacity=12, temperature=0.2)
    params, stats, memory = method.init(_key(), _views())
    outputs, _ = method.forward(params, stats, memory, _views(), _key())
    got = method.objective({}, outputs, memory, {}, None, 0)[0]
    queries = np.asarray(losses.l2_normalize(outputs["projections"][:, 0]))
    positive = np.sum(queries * np.asarray(outputs["keys"][:, 0]), axis=1, keepdims=True)
    logits = np.concatenate([positive, queries @ np.asarray(memory.queue.rows).T], axis=1) / 0.2
    _close(got, special.logsumexp(logits, axis=1) - logits[:, 0])


def test_symmetric_moco_adds_both_directions_and_queues_both_views():
    one, both = (_make("moco", capacity=2 * BATCH, symmetric=s) for s in (False, True))
    params, stats, memory = both.init(_key(), _views())
    outputs, _ = both.forward(params, stats, memory, _views(), _key())
    got, kept, _ = both.objective({}, outputs, memory, {}, None, 0)
    wanted = 0.0
    for views in (_views(), _views()[::-1]):
        alone, _ = one.forward(params, stats, memory, views, _key())
        wanted += one.objective({}, alone, memory, {}, None, 0)[0]
    _close(got, wanted)
    queue = both.update_memory(memory, params, kept, jnp.int32(0)).queue
    _close(queue.rows, jnp.concatenate([outputs["keys"][:, 0], outputs["keys"][:, 1]]))


def test_a_shuffle_changes_nothing_where_no_batch_norm_is():
    outputs = []
    for shuffle in (False, True):
        method = _make("moco", capacity=12, shuffle=shuffle)
        params, stats, memory = method.init(_key(), _views())
        outputs.append(method.forward(params, stats, memory, _views(), _key())[0])
    _assert_trees(_close, *outputs)


def _dealt(order, groups):
    """The keys of MoCo with batch norm in groups, the images dealt in a given order."""
    start = _make("moco", capacity=12, batch_norm=networks.BatchNorm)
    params, stats, memory = start.init(_key(), _views())
    method = _make(
        "moco",
        capacity=12,
        batch_norm=functools.partial(networks.BatchNorm, groups=groups),
        permutation=lambda key, num_rows: jnp.array(order),
    )
    return method.forward(params, stats, memory, _views(), _key())[0]["keys"]


def test_a_shuffle_deals_the_keys_over_the_groups_of_batch_norm():
    straight, dealt = [0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5]
    _close(_dealt(straight, groups=1), _dealt(dealt, groups=1))
    assert np.abs(_dealt(straight, groups=2) - _dealt(dealt, groups=2)).max() > 1e-2


# SimCLR, supervised


@pytest.mark.parametrize("joint", [False, True])
def test_simclrs_views_are_normalized_together_or_each_by_itself(joint):
    method, views = _make("simclr", networks.BatchNorm, joint_views=joint), _views()
    params, stats, memory = method.init(_key(), views)
    outputs, moved = method.forward(params, stats, memory, views, _key())
    head = networks.mlp((5, DIM), batch_norm=networks.BatchNorm)
    batches = [jnp.concatenate(views)] if joint else views
    projections, want = [], stats["projector"]
    for batch in batches:
        features = batch @ params["encoder"]["Dense_0"]["kernel"]  # its bias is 0
        rows, want = head.apply(params["projector"], want, features, train=True)
        projections.append(rows)
    pair = jnp.concatenate(projections).reshape(2, BATCH, DIM).transpose(1, 0, 2)
    _close(outputs["projections"], pair)
    _assert_trees(_close, moved["projector"], want)


def test_bfloat16_keeps_simclrs_loss_and_most_of_its_gradient():
    views = (_normal(0, 8, 12, 12, 3), _normal(1, 8, 12, 12, 3))

    def loss_and_gradient(dtype):
        encoder = networks.ENCODERS["resnet_tiny"](dtype=dtype)
        method = methods.simclr(encoder, networks.mlp((16, 8), dtype=dtype), temperature=0.5)
        params, stats, memory = method.init(_key(), views)

        def loss(params):
            outputs, _ = method.forward(params, stats, memory, views, _key())
            return method.objective({}, outputs, memory, {}, _key(), 0)[0].mean()

        value, grads = jax.jit(jax.value_and_grad(loss))(params)
        return value, jnp.concatenate([x.ravel() for x in jax.tree.leaves(grads)])

    (exact, gradient), (rounded, near) = map(loss_and_gradient, ("float32", "bfloat16"))
    assert 0 < abs(rounded - exact) < 0.01 * exact
    # For so few images the difference is an eighth of the gradient's length. A wrong gradient
    # differs by at least its length.
    assert 0 < jnp.linalg.norm(near - gradient) < 0.25 * jnp.linalg.norm(gradient)


def test_sum_directions_doubles_simclrs_loss():
    outputs = {"projections": _normal(0, BATCH, 2, DIM)}
    mean, total = (
        _make("simclr", sum_directions=s).objective({}, outputs, (), {}, None, 0)[0]
        for s in (False, True)
    )
    a, b = outputs["projections"][:, 0], outputs["projections"][:, 1]
    _close(mean, losses.nt_xent(a, b, temperature=0.1))
    _close(total, 2.0 * mean)


def test_supervised_is_the_cross_entropy_of_the_projectors_scores():
    method = _make("supervised")
    params, stats, memory = method.init(_key(), _views())
    outputs, _ = method.forward(params, stats, memory, _views(), None)
    label = np.array([0, 1, 2, 2, 1, 0])
    got, _, _ = method.objective({}, outputs, memory, {"label": jnp.asarray(label)}, None, 0)
    scores = np.asarray(outputs["projections"][:, 0])
    _close(got, special.logsumexp(scores, axis=1) - scores[range(BATCH), label])
    dense = params["encoder"]["Dense_0"]
    _close(outputs["features"][:, 0], _views()[0] @ dense["kernel"] + dense["bias"][None, :])


# What all of them promise


_VIEWS = {"byol": 2, "mocov3": 2, "raft": 2, "simclr": 2, "moco": 1, "instdisc": 1, "supervised": 1}


@pytest.mark.parametrize("name", [n for n in runs.METHODS if n != "cpc"])  # it wants pictures
def test_every_method_gives_features_and_projections_of_each_online_view(name):
    head = networks.mlp((5, DIM), batch_norm=None)
    nets = {
        "encoder": networks.from_linen(_Linear()),
        "projector": head,
        "predictor": head,
    }
    method = runs.method(name, nets, num_examples=EXAMPLES, total_steps=20)
    params, stats, memory = method.init(_key(), _views())
    outputs, _ = method.forward(params, stats, memory, _views(), _key())
    num_views = _VIEWS.get(name, outputs["features"].shape[1])
    assert outputs["features"].shape == (BATCH, num_views, 4)
    assert outputs["projections"].shape == (BATCH, num_views, DIM)
    assert {len(leaf) for leaf in jax.tree.leaves(outputs)} == {BATCH}
