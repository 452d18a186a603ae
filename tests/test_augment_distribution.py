"""What the random views draw, against the distributions they promise.

Seeds are fixed, so nothing here flakes; a bound is where a right program would be found once in a
million draws of the seed, by the binomial or the Kolmogorov-Smirnov statistic.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from byol_jax import augment, randomness
from byol_jax.augment import jitter
from byol_jax.builders import views
from byol_jax.config import fields

RARE = 1e-6
COUNT = 20_000


def keys(count=COUNT, seed=11):
    return jax.random.split(jax.random.key(seed), count)


def draw(function, count=COUNT, seed=11):
    return np.asarray(jax.jit(jax.vmap(function))(keys(count, seed)))


def assert_share(happened, probability):
    """The Booleans are True as often as a coin of this probability may be."""
    count, total = int(np.sum(happened)), np.size(happened)
    assert stats.binomtest(count, total, probability).pvalue > RARE, (count / total, probability)


def assert_distributed(drawn, distribution):
    """The numbers may be draws from the distribution (scipy's, frozen)."""
    found = stats.kstest(np.asarray(drawn, np.float64), distribution.cdf)
    assert found.pvalue > RARE, found


def assert_uncorrelated(a, b):
    """Pearson's correlation of the numbers may be that of independent ones."""
    bound = stats.norm.isf(RARE / 2) / np.sqrt(len(a))
    assert abs(np.corrcoef(a, b)[0, 1]) < bound


SIDE = 4000  # so large that rounding to whole pixels is far below what the tests see


def boxes(**how):
    """The random boxes' top, left, height and width, inside a large square."""
    drawn = draw(functools.partial(augment.random_box, height=SIDE, width=SIDE, **how))
    top, left, height, width = drawn.astype(np.float64).T
    assert top.min() >= 0 and (top + height).max() <= SIDE
    assert left.min() >= 0 and (left + width).max() <= SIDE
    return top, left, height, width


@pytest.mark.parametrize("attempts", [1, 10])
def test_boxes_that_always_fit_are_uniform_in_area_and_place_and_log_uniform_in_ratio(attempts):
    top, left, height, width = boxes(area=(0.08, 0.7), attempts=attempts)
    share, ratio = height * width / SIDE**2, np.log(width / height)
    down, across = top / (SIDE - height), left / (SIDE - width)  # of the room there is
    assert_distributed(share, stats.uniform(0.08, 0.62))
    assert_distributed(ratio, stats.uniform(np.log(3 / 4), 2 * np.log(4 / 3)))
    assert_distributed(down, stats.uniform())
    assert_distributed(across, stats.uniform())
    for a, b in itertools.combinations((share, ratio, down, across), 2):
        assert_uncorrelated(a, b)


def _reference_shares(attempts, count=COUNT):
    """The area shares of boxes in a square, by rejection with numpy."""
    rng = np.random.default_rng(0)
    areas = rng.uniform(0.08, 1.0, (count, attempts))
    ratios = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3), (count, attempts)))
    heights, widths = np.sqrt(areas / ratios), np.sqrt(areas * ratios)
    if attempts == 1:
        return (np.minimum(heights, 1) * np.minimum(widths, 1))[:, 0]
    fits = (heights <= 1) & (widths <= 1)
    first = np.argmax(fits, axis=1)
    return np.where(fits.any(axis=1), areas[np.arange(count), first], 1.0)


def test_large_boxes_are_clipped_in_one_attempt_and_drawn_again_in_ten():
    shares = {}
    for attempts in (1, 10):
        _, _, height, width = boxes(attempts=attempts)
        share = shares[attempts] = height * width / SIDE**2
        assert stats.ks_2samp(share, _reference_shares(attempts)).pvalue > RARE
    assert (
        stats.ks_2samp(shares[1], shares[10]).pvalue < RARE
    )  # so that the test distinguishes the two


AMOUNTS = {"brightness": 0.4, "contrast": 0.3, "saturation": 0.2, "hue": 0.1}


def _jittered(name, image, **flags):
    amounts = dict.fromkeys(AMOUNTS, 0.0) | {name: AMOUNTS[name]}
    how = {"probability": 1.0, **amounts, **flags}
    return draw(lambda key: augment.random_color_jitter(key, image, **how))


def test_jitter_amounts_are_uniform_in_their_ranges():
    grey = jnp.full((1, 1, 3), 0.5)
    assert_distributed(_jittered("brightness", grey)[:, 0, 0, 0] - 0.5, stats.uniform(-0.4, 0.8))
    scaled = _jittered("brightness", grey, additive_brightness=False)[:, 0, 0, 0]
    assert_distributed(scaled / 0.5, stats.uniform(0.6, 0.8))
    edge = jnp.array([[[0.3, 0.3, 0.3], [0.7, 0.7, 0.7]]])
    spread = np.ptp(_jittered("contrast", edge)[..., 0], axis=(1, 2))
    assert_distributed(spread / 0.4, stats.uniform(0.7, 0.6))
    red = jnp.array([[[0.6, 0.3, 0.3]]])
    for hsv in (True, False):
        chroma = np.ptp(_jittered("saturation", red, hsv_saturation=hsv), axis=(1, 2, 3))
        assert_distributed(chroma / 0.3, stats.uniform(0.8, 0.4))
    turned = _jittered("hue", red)[:, 0, 0]
    sixths = np.where(turned[:, 1] > turned[:, 2], 1, -1) * (np.median(turned, 1) - 0.3) / 0.3
    assert_distributed(sixths / 6, stats.uniform(-0.1, 0.2))


def test_every_order_of_four_is_as_likely():
    orders = draw(functools.partial(jitter._draw_order, count=4))
    found, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(found) == 24 and stats.chisquare(counts).pvalue > RARE


CHANCES = {
    "flip": ("flip_probability", 0.5, {}),
    "jitter": ("jitter_probability", 0.8, {}),
    "grayscale": ("grayscale_probability", 0.2, {}),
    "blur": ("blur_probability", 0.1, {"blur_kernel_size": 3, "blur_sigma": (0.5, 2.0)}),
    "solarize": ("solarize_probability", 0.2, {}),
}


def _happened(order=tuple(CHANCES), seed=11):
    """Whether each operation changed the picture, [operations, COUNT], each from a view of its own,
    whose draws are those it has in a whole pipeline."""
    picture = jax.random.uniform(jax.random.key(0), (4, 4, 3))

    def changed(key, name):
        setting, probability, more = CHANCES[name]
        view = augment.pipeline(order=(name,), **{setting: probability}, **more)
        return jnp.any(view(key, picture) != picture)

    return {name: draw(functools.partial(changed, name=name), seed=seed) for name in order}


def test_every_operation_happens_as_often_as_asked_and_independently():
    happened = _happened()
    for name, (_, probability, _) in CHANCES.items():
        assert_share(happened[name], probability)
        assert_uncorrelated(happened[name][1:], happened[name][:-1])  # of neighbouring examples
    for a, b in itertools.combinations(happened.values(), 2):
        assert_uncorrelated(a, b)


def test_blur_widths_are_uniform_in_their_range():
    point = jnp.zeros((1, 3, 1)).at[0, 1, 0].set(1.0)
    how = {"probability": 1.0, "kernel_size": 3, "padding": "edge", "sigma": (0.5, 2.0)}
    row = draw(lambda key: augment.random_blur(key, point, **how))[:, 0, :, 0].astype(np.float64)
    sigma = np.sqrt(0.5 / np.log(row[:, 1] / row[:, 0]))  # the ratio of neighbours is exp(-.5 / s²)
    assert_distributed(sigma, stats.uniform(0.5, 1.5))


def _shifts(make_views, steps, rows):
    """How much brighter each view is, [steps, rows, views], with the keys that a step uses."""
    images, numbers = jnp.full((rows, 1, 1, 1), 0.5), jnp.arange(rows, dtype=jnp.int32)

    def of_step(step):
        view_key = jax.random.split(randomness.step_key(0, step), 3)[0]
        views = make_views(randomness.row_keys(view_key, numbers), images)
        return jnp.stack([view[:, 0, 0, 0] - 0.5 for view in views], axis=1)

    return np.asarray(jax.lax.map(of_step, jnp.arange(steps, dtype=jnp.int32)))


def test_views_examples_and_steps_are_drawn_apart():
    view = {"name": "plain", "order": ("jitter",), "jitter_probability": 1.0, "contrast": 0.0}
    config = fields.default()
    config.views = {"first": view, "second": view}
    shifts = _shifts(views.make_views(config), steps=100, rows=100)
    assert_distributed(shifts.ravel(), stats.uniform(-0.4, 0.8))
    assert_uncorrelated(shifts[..., 0].ravel(), shifts[..., 1].ravel())  # the two views
    assert_uncorrelated(shifts[:, 1:].ravel(), shifts[:, :-1].ravel())  # neighbouring examples
    assert_uncorrelated(shifts[1:].ravel(), shifts[:-1].ravel())  # steps
    # Of 20,000 draws from 2**23 numbers some 24 meet by chance; float32 near 1 merges a few more.
    assert len(np.unique(shifts)) > 0.99 * shifts.size
