"""The arrays floor: losses, averages, buffers and collectives against hand-worked values."""

import collections
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from byol_jax import collectives, ema, losses, memory_bank, randomness, ring_buffer


def _normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def test_losses_load_only_arrays_libraries():
    code = """if True:
        import sys
        from byol_jax import losses
        heavy = 'flax orbax grain ml_collections tensorflow_datasets tensorflow'.split()
        sys.exit(str([m for m in heavy if m in sys.modules] or ''))"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_normalized_squared_error_spans_0_to_4():
    a = jnp.array([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    b = jnp.array([[5.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_allclose(losses.normalized_squared_error(a, b), [0.0, 2.0, 4.0], atol=1e-6)


def test_normalized_squared_error_gradient():
    grad = jax.grad(lambda p: losses.normalized_squared_error(p, jnp.array([[0.0, 1.0]]))[0])
    np.testing.assert_allclose(grad(jnp.array([[2.0, 0.0]])), [[0.0, -1.0]], atol=1e-6)


def test_nt_xent_is_the_papers_formula():
    a, b, temperature = _normal(0, 5, 3), _normal(1, 5, 3), 0.5
    z = np.asarray(losses.l2_normalize(jnp.concatenate([a, b])))
    logits = z @ z.T / temperature
    np.fill_diagonal(logits, -np.inf)
    pair = logits[np.arange(10), (np.arange(10) + 5) % 10]
    each = special.logsumexp(logits, axis=1) - pair
    got = losses.nt_xent(a, b, temperature=temperature)
    np.testing.assert_allclose(got, (each[:5] + each[5:]) / 2, rtol=1e-5)


def test_nt_xent_over_4_devices_is_the_loss_of_one():
    a, b = _normal(0, 8, 3), _normal(1, 8, 3)

    def mean(a, b, axis_name=None):
        return losses.nt_xent(a, b, temperature=0.1, axis_name=axis_name).mean()

    one = jax.grad(mean)(a, b)
    four = jax.vmap(jax.grad(lambda a, b: mean(a, b, "d")), axis_name="d")
    summed = four(a.reshape(4, 2, 3), b.reshape(4, 2, 3)).reshape(8, 3)
    np.testing.assert_allclose(summed / 4, one, atol=1e-6)


def test_info_nce_is_the_softmax_with_the_positive_among_the_rows():
    queries, rows = _normal(0, 4, 3), _normal(1, 7, 3)
    got = losses.info_nce(queries[:1], rows[:1], rows[1:], temperature=0.2)
    index = jnp.zeros(1, jnp.int32)
    np.testing.assert_allclose(
        got, losses.instance_softmax(queries[:1], rows, index, temperature=0.2), rtol=1e-6
    )


def test_nce_by_hand():
    feature = jnp.array([[1.0, 0.0]])
    got = losses.nce(
        feature,
        feature,
        jnp.array([[[0.0, 1.0]]]),
        num_examples=2,
        normalizer=jnp.float32(4.0),
        temperature=1.0,
    )
    positive, negative, noise = np.e / 4, 1 / 4, 0.5
    want = -np.log(positive / (positive + noise)) - np.log(noise / (negative + noise))
    np.testing.assert_allclose(got, [want], rtol=1e-5)


def test_an_average_is_exact_at_its_ends():
    keys = jax.random.split(jax.random.key(0))
    target, online = (jax.random.normal(key, (100_000,)) for key in keys)
    moved = target
    for _ in range(20):
        moved = jax.jit(ema.update)(moved, online, decay=1.0)
    np.testing.assert_array_equal(moved, target)
    np.testing.assert_array_equal(jax.jit(ema.update)(target, online, decay=0.0), online)


def test_ema_moves_by_the_part_that_decay_leaves():
    tree = ema.update({"w": jnp.array([1.0])}, {"w": jnp.array([3.0])}, decay=0.75)
    np.testing.assert_allclose(tree["w"], [1.5])


def test_cosine_decay_runs_from_base_to_1_and_stays():
    got = [float(ema.cosine_decay(0.9, jnp.int32(s), 10)) for s in (0, 5, 10, 20)]
    np.testing.assert_allclose(got, [0.9, 0.95, 1.0, 1.0], rtol=1e-6)


def test_ring_buffer_is_a_deque():
    buffer = ring_buffer.create(jax.random.key(0), 10, 2)
    deque = collections.deque(np.asarray(buffer.rows), maxlen=10)
    for i in range(9):
        rows = _normal(i, 3, 2)
        buffer = ring_buffer.push(buffer, rows)
        deque.extend(np.asarray(rows))
        np.testing.assert_array_equal(ring_buffer.in_order(buffer), np.stack(deque))


def test_ring_buffer_refuses_more_rows_than_it_holds():
    with pytest.raises(ValueError, match="raise the capacity to 3"):
        ring_buffer.push(ring_buffer.create(jax.random.key(0), 2, 2), jnp.ones((3, 2)))


def test_bank_blend_moves_named_rows_and_the_last_of_two_wins():
    bank = jnp.eye(3)
    got = memory_bank.blend(
        bank, jnp.array([2, 0, 2]), jnp.array([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]]), decay=0.5
    )
    half = np.sqrt(0.5)
    np.testing.assert_allclose(got, [[half, half, 0], [0, 1, 0], [0, half, half]], atol=1e-6)


def test_shuffle_deals_the_global_permutation_and_unshuffle_undoes_it():
    x, permutation = jnp.arange(8.0).reshape(4, 2), jnp.array([7, 2, 0, 5, 1, 6, 4, 3])
    both = jax.vmap(
        lambda x: (
            y := collectives.shuffle(x, permutation, "d"),
            collectives.unshuffle(y, permutation, "d"),
        ),
        axis_name="d",
    )
    shuffled, restored = both(x)
    np.testing.assert_array_equal(shuffled.ravel(), permutation.astype(jnp.float32))
    np.testing.assert_array_equal(restored, x)


def test_draws_depend_on_the_global_row_alone():
    key = jax.random.key(0)
    draws = {"num_draws": 5, "num_examples": 100}
    whole = randomness.uniform_indices(jax.random.clone(key), jnp.arange(8), **draws)
    part = randomness.uniform_indices(jax.random.clone(key), jnp.arange(4, 8), **draws)
    np.testing.assert_array_equal(whole[4:], part)
    assert len(np.unique(whole)) > 20
