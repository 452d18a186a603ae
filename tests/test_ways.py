"""Public functions of arrays in every way of calling them (docs/guides/transformations.md)."""

from pathlib import Path

import jax
import numpy as np
import pytest

from byol_jax import losses
from support import ways
from support.ways_cases import CASES, REFUSED, table

PAGE = Path(__file__).parents[1] / "docs" / "guides" / "transformations.md"


def _cells():
    """Yields all cells of the table; by default, each function runs in one way only."""
    for number, name in enumerate(CASES):
        for column, way in enumerate(ways.WAYS):
            by_default = column == number % len(ways.WAYS)
            yield pytest.param(name, way, marks=[] if by_default else [pytest.mark.slow])


def _check(got, want, rtol=2e-5):
    got = jax.tree.leaves(got)
    want = jax.tree.leaves(want)
    assert len(got) == len(want)
    for x, y in zip(got, want, strict=True):
        x = np.asarray(x, np.float64)
        y = np.asarray(y, np.float64)
        assert x.shape == y.shape
        assert np.isfinite(x).all()
        np.testing.assert_allclose(x, y, rtol=0, atol=rtol * max(np.abs(y).max(), 1.0))


@pytest.fixture(autouse=True)
def keys_used_twice():
    """Allows that a case draws the same random numbers for its value and for its gradient."""
    with jax.debug_key_reuse(False):
        yield


@pytest.mark.parametrize(("name", "way"), list(_cells()))
def test_a_function_gives_the_value_and_gradient_of_one_device(name, way):
    case = CASES[name]
    if (name, way) in REFUSED:
        with pytest.raises(TypeError, match=REFUSED[name, way]):
            ways.WAYS[way](case)
        return
    _check(ways.WAYS[way](case), ways.one_device(case))


def test_the_guide_shows_the_table():
    page = PAGE.read_text(encoding="utf-8")
    for line in table():
        assert line in page


@pytest.mark.parametrize("batch_size", [4, 6])
def test_a_loss_is_exported_for_any_batch_size(batch_size):
    def loss(a, b, queue):
        contrast = losses.nt_xent(a, b, temperature=0.1)
        return contrast + losses.info_nce(a, b, queue, temperature=0.1)

    (rows,) = jax.export.symbolic_shape("b")
    batch = jax.ShapeDtypeStruct((rows, 8), np.float32)
    queue = jax.ShapeDtypeStruct((16, 8), np.float32)
    exported = jax.export.export(jax.jit(loss))(batch, batch, queue)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(n, 8)).astype(np.float32) for n in (batch_size, batch_size, 16)]
    np.testing.assert_allclose(exported.call(*arrays), loss(*arrays), rtol=1e-5)
