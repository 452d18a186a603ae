"""Contrastive predictive coding by hand: what is cut, what the context sees, what is predicted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from byol_jax import augment, methods, networks

BATCH, DIM = 3, 5
GRID = {"patch_size": 4, "patch_stride": 2}


def _make(**options):
    encoder = networks.resnet_tiny(batch_norm=networks.LayerNorm)
    return methods.cpc(encoder, networks.row_context(DIM), **{**GRID, "offsets": (1, 2), **options})


def _views():
    return (jax.random.normal(jax.random.key(0), (BATCH, 8, 8, 1)),)


def test_patches_are_the_squares_of_the_grid():
    image = jnp.arange(7 * 9 * 2.0).reshape(7, 9, 2)
    cut = augment.patches(image, size=3, stride=2)
    assert cut.shape == (3, 4, 3, 3, 2)
    np.testing.assert_array_equal(cut[1, 3], image[2:5, 6:9])
    with pytest.raises(ValueError, match="8 pixels are larger than the image, 7 x 9"):
        augment.patches(image, size=8, stride=2)


def test_the_context_of_a_row_sees_no_row_below():
    net = networks.row_context(DIM, layers=2)
    x = jax.random.normal(jax.random.key(1), (1, 5, 5, 3))
    params, stats = net.init(jax.random.key(2), x)

    def seen(x):
        return net.apply(params, stats, x, train=True)[0]

    changed = seen(x.at[:, 2].add(1.0)) - seen(x)
    rows = np.abs(changed[0]).max(axis=(1, 2)) > 0
    np.testing.assert_array_equal(rows, [False, False, True, True, True])


def test_the_loss_tells_a_patch_from_all_patches_of_the_batch():
    method = _make()
    params, stats, _ = method.init(jax.random.key(3), _views())
    outputs, _ = method.forward(params, stats, (), _views(), None)
    got, _, _ = method.objective({}, outputs, (), {}, None, 0)
    patches, predictions = np.asarray(outputs["patches"]), np.asarray(outputs["predictions"])
    assert patches.shape[:3] == (BATCH, 3, 3)
    rows = patches.reshape(-1, patches.shape[-1])
    for b in range(BATCH):
        patch_losses = []
        for k, offset in enumerate((1, 2)):
            for i in range(3 - offset):
                for j in range(3):
                    scores = rows @ predictions[b, k, i, j]
                    right = scores[9 * b + 3 * (i + offset) + j]
                    patch_losses.append(special.logsumexp(scores) - right)
        np.testing.assert_allclose(got[b], np.mean(patch_losses), rtol=1e-5)


def test_features_are_the_mean_over_patches():
    method = _make()
    params, stats, _ = method.init(jax.random.key(3), _views())
    outputs, _ = method.forward(params, stats, (), _views(), None)
    wanted = outputs["patches"].mean(axis=(1, 2))
    np.testing.assert_allclose(outputs["features"][:, 0], wanted, rtol=1e-6)
    assert outputs["projections"].shape == (BATCH, 1, DIM)


def test_an_offset_beyond_the_grid_says_how_many_rows_there_are():
    with pytest.raises(ValueError, match=r"in \[1, 2\], since the grid has 3 rows"):
        _make(offsets=(3,)).init(jax.random.key(0), _views())
