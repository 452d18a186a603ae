"""A batch in parts has the gradient of the whole: exactly, batch norm and all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from byol_jax import networks, optimizers, train_state, train_step
from support import runs

EXAMPLES = 2000
# RAFT and MoCo v3 are BYOL's networks with another loss, symmetric MoCo is MoCo twice, and the last
# two have no more than InstDisc and SimCLR.
KIN = ("raft", "mocov3", "moco symmetric", "instdisc exact", "supervised")
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in KIN)) for name in runs.METHODS]


def _method(name, groups):
    """In one batch its batch norm goes by `groups`; in parts each part is a group."""
    norm = functools.partial(networks.BatchNorm, groups=groups)
    head = functools.partial(networks.mlp, batch_norm=norm, hidden_bias=False)
    nets = {
        "encoder": networks.resnet_tiny(batch_norm=norm),
        "projector": head((12, 8)),
        "predictor": head((12, 8)),
        "context": networks.row_context(12),
    }
    queue = {"capacity": 2048, "shuffle": False}
    return runs.method(name, nets, num_examples=EXAMPLES, total_steps=20, **queue)


def _views(keys, images):
    def noisy(key, image):
        return image + 0.1 * jax.random.normal(key, image.shape)

    pairs = jax.vmap(lambda key: jax.random.split(key, 2))(keys)
    return tuple(jax.vmap(noisy)(pairs[:, v], images) for v in range(2))


def _step(name, batch, *, groups, microbatches):
    """The gradient, as plain descent takes it, the state after it, and the loss."""
    optimizer = optimizers.sgd(1.0, momentum=0.0)
    views = (jnp.zeros((2 * groups, 8, 8, 1)),) * 2
    method = _method(name, groups)
    state = train_state.create(method, optimizer, views, seed=0)
    options = {"make_views": _views, "seed": 0, "microbatches": microbatches}
    after, metrics = jax.jit(train_step.make(method, optimizer, **options))(state, batch)
    return jax.tree.map(jnp.subtract, state.params, after.params), after, metrics["loss"]


def _batch(size):
    rng = np.random.default_rng(0)
    return {
        "image": rng.uniform(size=(size, 8, 8, 1)).astype(np.float32),
        "index": rng.permutation(EXAMPLES)[:size].astype(np.int32),
        "label": rng.integers(0, 8, size).astype(np.int32),
    }


@pytest.mark.parametrize(
    ("size", "parts"), [(32, 4), pytest.param(1024, 16, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", NAMES)
def test_parts_with_a_batch_norm_each_have_the_gradient_of_the_whole(name, size, parts):
    whole = _step(name, _batch(size), groups=parts, microbatches=1)
    split = _step(name, _batch(size), groups=1, microbatches=parts)
    np.testing.assert_allclose(split[2], whole[2], rtol=1e-5)
    largest = max(np.abs(x).max() for x in jax.tree.leaves(whole[0]))
    for a, b in zip(jax.tree.leaves(split[0]), jax.tree.leaves(whole[0]), strict=True):
        # One unit in the last place of the parameters changes BYOL's gradient by 1e-5 to 2e-5.
        np.testing.assert_allclose(a, b, atol=3e-5 * max(np.abs(b).max(), 1e-2 * largest))
    for a, b in zip(jax.tree.leaves(split[1]), jax.tree.leaves(whole[1]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * max(np.abs(b).max(), 0.02))
