"""Instance discrimination by hand: its losses, its bank and its normalizer."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from byol_jax import losses, methods, networks

BATCH, DIM, EXAMPLES = 6, 3, 10


class _Linear(nn.Module):
    """An encoder that no example shares with another."""

    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dense(4)(x)


_LINEAR, _HEAD = networks.from_linen(_Linear()), networks.mlp((5, DIM), batch_norm=None)


def _normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def _key():
    return jax.random.key(0)


def _close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def _noise(key, rows, *, num_draws, num_examples):
    return jnp.arange(len(rows) * num_draws).reshape(len(rows), num_draws) % num_examples


def _instdisc(num_negatives, **options):
    options = {"temperature": 0.5, "noise": _noise, **options}
    return methods.instdisc(
        _LINEAR, _HEAD, num_examples=EXAMPLES, num_negatives=num_negatives, **options
    )


def _projections(seed):
    return {"projections": _normal(seed, BATCH, 1, DIM)}


def _batch(index=range(BATCH)):
    return {"index": jnp.array(list(index)), "row": jnp.arange(BATCH)}


def test_the_normalizer_is_set_by_the_first_batch_and_stays():
    method = _instdisc(4)
    _, _, memory = method.init(_key(), (_normal(0, BATCH, 4),))
    rows = np.asarray(losses.l2_normalize(_projections(0)["projections"][:, 0]))
    drawn = np.arange(BATCH * 4).reshape(BATCH, 4) % EXAMPLES
    candidates = np.asarray(memory.bank)[np.column_stack([np.arange(BATCH), drawn])]
    want = EXAMPLES * np.mean(np.exp(np.einsum("bd,bkd->bk", rows, candidates) / 0.5))
    assert memory.normalizer == 0
    for step in range(3):
        _, kept, _ = method.objective({}, _projections(step), memory, _batch(), _key(), 0)
        memory = method.update_memory(memory, {}, kept, jnp.int32(step))
        _close(memory.normalizer, want)


def test_no_gradient_flows_through_the_normalizer_or_the_kept_rows():
    method = _instdisc(4)
    _, _, memory = method.init(_key(), (_normal(0, BATCH, 4),))

    def kept_sum(outputs):
        _, kept, _ = method.objective({}, outputs, memory, _batch(), _key(), 0)
        return kept["normalizer"] + kept["rows"].sum()

    assert not np.any(jax.grad(kept_sum)(_projections(0))["projections"])


def test_the_last_of_two_rows_of_one_example_enters_the_bank():
    method = _instdisc(0, decay=0.25)
    _, _, memory = method.init(_key(), (_normal(0, BATCH, 4),))
    _, kept, _ = method.objective(
        {}, _projections(0), memory, _batch([7, 2, 7, 0, 7, 1]), _key(), 0
    )
    bank = method.update_memory(memory, {}, kept, jnp.int32(0)).bank
    row = 0.25 * memory.bank[7] + 0.75 * losses.l2_normalize(_projections(0)["projections"])[4, 0]
    _close(bank[7], row / np.linalg.norm(row))
    np.testing.assert_array_equal(bank[3:7], memory.bank[3:7])


def test_the_exact_softmax_is_over_the_whole_bank():
    method = _instdisc(0)
    _, _, memory = method.init(_key(), (_normal(0, BATCH, 4),))
    got, _, _ = method.objective({}, _projections(0), memory, _batch([7, 2, 7, 0, 9, 1]), _key(), 0)
    rows = np.asarray(losses.l2_normalize(_projections(0)["projections"][:, 0]))
    logits = rows @ np.asarray(memory.bank).T / 0.5
    _close(got, special.logsumexp(logits, axis=1) - logits[range(BATCH), [7, 2, 7, 0, 9, 1]])


def test_the_nce_loss_reads_the_bank_where_index_and_noise_say():
    method = _instdisc(4)
    _, _, memory = method.init(_key(), (_normal(0, BATCH, 4),))
    memory = memory._replace(normalizer=jnp.float32(3.0))
    got, _, _ = method.objective({}, _projections(0), memory, _batch([7, 2, 5, 0, 9, 1]), _key(), 0)
    rows = np.asarray(losses.l2_normalize(_projections(0)["projections"][:, 0]))
    model = np.exp(rows @ np.asarray(memory.bank).T / 0.5) / 3.0
    positive = model[range(BATCH), [7, 2, 5, 0, 9, 1]]
    drawn = np.arange(BATCH * 4).reshape(BATCH, 4) % EXAMPLES
    negative, noise = np.take_along_axis(model, drawn, axis=1), 4 / EXAMPLES
    want = np.log1p(noise / positive) + np.log1p(negative / noise).sum(axis=1)
    _close(got, want)
