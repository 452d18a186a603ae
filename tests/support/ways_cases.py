"""The functions that users call in their own JAX code, with arguments for the table of ways."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from byol_jax import (
    augment,
    collectives,
    ema,
    log_sum_exp,
    losses,
    memory_bank,
    metrics,
    ring_buffer,
)
from support.ways import WAYS, Case

BATCH = 16
DIM = 6


def _normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _unit(seed, *shape):
    x = _normal(seed, *shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


A = _normal(0, BATCH, DIM)
B = _normal(1, BATCH, DIM)
C = _normal(2, BATCH, DIM)
QUERIES = _unit(3, BATCH, DIM)
POSITIVES = _unit(4, BATCH, DIM)
QUEUE = _unit(5, 24, DIM)
OWN = _unit(6, BATCH, 5, DIM)
INDEX = np.random.default_rng(7).permutation(24)[:BATCH].astype(np.int32)
LABELS = (np.arange(24) % 3).astype(np.int32)
MASK = np.arange(BATCH) % 5 != 2
ORDER = np.random.default_rng(8).permutation(BATCH).astype(np.int32)
IMAGES = np.random.default_rng(9).uniform(0.1, 0.9, (BATCH, 8, 8, 3)).astype(np.float32)


def _in_tiles(function):
    """Makes a function that computes its logits in tiles of 4 x 4."""

    @functools.wraps(function)
    def call(*args):
        side = log_sum_exp.TILE
        log_sum_exp.TILE = 4
        try:
            return function(*args)
        finally:
            log_sum_exp.TILE = side

    return call


def _nt_xent(axis_name, *views):
    return losses.nt_xent(*views, temperature=0.5, axis_name=axis_name)


def _nt_xent_masked(axis_name, a, b, mask):
    return losses.nt_xent(a, b, temperature=0.5, mask=mask, axis_name=axis_name)


def _info_nce(axis_name, queries, positives, negatives):
    del axis_name  # the queue is equal on all devices
    return losses.info_nce(queries, positives, negatives, temperature=0.5)


def _info_nce_gathered(axis_name, queries, positives, negatives):
    return losses.info_nce(queries, positives, negatives, temperature=0.5, axis_name=axis_name)


def _instance_softmax(axis_name, queries, index, rows):
    del axis_name  # the memory bank is equal on all devices
    return losses.instance_softmax(queries, rows, index, temperature=0.5)


def _instance_softmax_batch(axis_name, queries, rows):
    return losses.instance_softmax(queries, rows, temperature=0.5, axis_name=axis_name)


def _nce(axis_name, features, positives, negatives, normalizer):
    del axis_name
    return losses.nce(
        features,
        positives,
        negatives,
        num_examples=24,
        normalizer=normalizer,
        temperature=0.5,
    )


def _local(function):
    """Makes a call of a function that does not communicate."""
    return lambda axis_name, *args: function(*args)


def _push(axis_name, rows, stored):
    buffer = ring_buffer.RingBuffer(stored, jnp.int32(20), jnp.int32(24))
    return ring_buffer.push(buffer, collectives.all_gather(rows, axis_name, replicated=True))


def _in_order(axis_name, rows):
    del axis_name
    return ring_buffer.in_order(ring_buffer.RingBuffer(rows, jnp.int32(5), jnp.int32(24)))


def _valid(axis_name, rows):
    del axis_name
    return ring_buffer.valid(ring_buffer.RingBuffer(rows, jnp.int32(0), jnp.int32(7)))


def _blend(axis_name, index, features, bank):
    index, features = collectives.all_gather((index, features), axis_name, replicated=True)
    return memory_bank.blend(bank, index, features, decay=0.5)


def _knn(axis_name, queries, rows, labels):
    del axis_name
    return metrics.knn_scores(queries, rows, labels, num_classes=3, k=5, temperature=0.5)


def _keys(index):
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(index)


def _augmented(operation):
    """Makes a call of a random operation on one image, for a batch of images."""

    def call(axis_name, index, images):
        del axis_name
        return augment.batched(operation)(_keys(index), images)

    return call


NUMBERS = np.arange(BATCH, dtype=np.int32)

CASES = {
    "losses.l2_normalize": Case(_local(losses.l2_normalize), (A,)),
    "losses.nt_xent": Case(_nt_xent, (A, B)),
    "losses.nt_xent, three views": Case(_nt_xent, (A, B, C)),
    "losses.nt_xent, masked": Case(_nt_xent_masked, (A, B, MASK)),
    "losses.nt_xent, in tiles": Case(_in_tiles(_nt_xent), (A, B)),
    "losses.info_nce": Case(_info_nce, (QUERIES, POSITIVES), (QUEUE,)),
    "losses.info_nce, gathered negatives": Case(_info_nce_gathered, (QUERIES, POSITIVES, B)),
    "losses.info_nce, own negatives": Case(_info_nce, (QUERIES, POSITIVES, OWN)),
    "losses.info_nce, in tiles": Case(_in_tiles(_info_nce), (QUERIES, POSITIVES), (QUEUE,)),
    "losses.instance_softmax": Case(_instance_softmax, (QUERIES, INDEX), (QUEUE,)),
    "losses.instance_softmax, batch": Case(_instance_softmax_batch, (QUERIES, POSITIVES)),
    "losses.instance_softmax, in tiles": Case(
        _in_tiles(_instance_softmax), (QUERIES, INDEX), (QUEUE,)
    ),
    "losses.nce": Case(_nce, (QUERIES, POSITIVES, OWN), (np.float32(30.0),)),
    "losses.normalized_squared_error": Case(_local(losses.normalized_squared_error), (A, B)),
    "collectives.pmean": Case(
        lambda axis_name, x: collectives.pmean(jnp.mean(x, axis=0), axis_name), (A,), split=False
    ),
    "collectives.all_gather": Case(
        lambda axis_name, x: collectives.all_gather(x, axis_name, replicated=True),
        (A,),
        split=False,
    ),
    "collectives.shuffle": Case(
        lambda axis_name, x, order: collectives.shuffle(x, order, axis_name), (A,), (ORDER,)
    ),
    "collectives.unshuffle": Case(
        lambda axis_name, x, order: collectives.unshuffle(x, order, axis_name), (A,), (ORDER,)
    ),
    "collectives.row_index": Case(
        lambda axis_name, x: collectives.row_index(x.shape[0], axis_name), (A,), gradient=False
    ),
    "ring_buffer.push": Case(_push, (A,), (QUEUE,), split=False),
    "ring_buffer.in_order": Case(_in_order, (), (QUEUE,), split=False),
    "ring_buffer.valid": Case(_valid, (), (QUEUE,), split=False, gradient=False),
    "memory_bank.read": Case(
        lambda axis_name, index, bank: memory_bank.read(bank, index), (INDEX,), (QUEUE,)
    ),
    "memory_bank.blend": Case(_blend, (INDEX, A), (QUEUE,), split=False),
    "metrics.knn_scores": Case(_knn, (A,), (QUEUE, LABELS), gradient=False),
    "metrics.accuracy": Case(_local(metrics.accuracy), (A, NUMBERS % 3), gradient=False),
    "metrics.spread": Case(
        lambda axis_name, x: metrics.spread(x, axis_name=axis_name), (A,), split=False
    ),
    "metrics.effective_rank": Case(
        lambda axis_name, x: metrics.effective_rank(x), (), (A,), split=False
    ),
    "metrics.alignment": Case(
        lambda axis_name, a, b: metrics.alignment(a, b), (), (A, B), split=False
    ),
    "metrics.uniformity": Case(lambda axis_name, x: metrics.uniformity(x), (), (A,), split=False),
    "ema.update": Case(
        lambda axis_name, target, online: ema.update(target, online, decay=0.9),
        (),
        (A, B),
        split=False,
    ),
    "augment.random_resized_crop": Case(
        _augmented(functools.partial(augment.random_resized_crop, size=6)),
        (NUMBERS, IMAGES),
        float64=False,
    ),
    "augment.random_color_jitter": Case(
        _augmented(
            functools.partial(
                augment.random_color_jitter, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1
            )
        ),
        (NUMBERS, IMAGES),
        gradient=False,
        float64=False,
    ),
    "augment.random_blur": Case(
        _augmented(functools.partial(augment.random_blur, kernel_size=3)),
        (NUMBERS, IMAGES),
        float64=False,
    ),
    "augment.preset": Case(
        lambda axis_name, index, images: augment.batched(augment.preset("simclr", size=8))(
            _keys(index), images
        ),
        (NUMBERS, IMAGES),
        gradient=False,
        float64=False,
    ),
}

# Cells of the table that are not supported: the function, the way, and words of the error.
REFUSED = {
    (name, "jvp"): "can't apply forward-mode autodiff"
    for name in CASES
    if name.endswith("in tiles")
}


def table() -> list[str]:
    """Returns the Markdown lines of the table in docs/guides/transformations.md."""
    ways_row = " | ".join(WAYS)
    lines = [f"| | {ways_row} |", "| --- |" + " :-: |" * len(WAYS)]
    for name, case in CASES.items():
        cells = [
            "no" if (name, way) in REFUSED else "∇" if case.gradient else "value" for way in WAYS
        ]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return lines
