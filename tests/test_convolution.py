"""The convolution's gradients equal XLA's in every geometry, in a layout that is fast on CPUs."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from byol_jax import networks
from byol_jax.networks import convolution


def _operands(batch=5, side=(8, 9), channels=3, kernel=3, features=4, dtype="float32"):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, *side, channels))
    weights = rng.standard_normal((kernel, kernel, channels, features))
    return jnp.asarray(images, dtype), jnp.asarray(weights, dtype)


def _gradients(function, images, kernel):
    def loss(images, kernel):
        out = function(images, kernel)
        return jnp.sum(out * jnp.cos(out))

    return jax.jit(jax.grad(loss, argnums=(0, 1)))(images, kernel)


def _both(strides, padding):
    """Ours and XLA's own, of (images, kernel)."""
    ours = functools.partial(convolution.convolve, strides=strides, padding=padding)
    layout = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}

    def xla(images, kernel):
        return jax.lax.conv_general_dilated(images, kernel, strides, padding, **layout)

    return ours, xla


@pytest.fixture(params=[1, 3, 100])
def at_a_time(request, monkeypatch):
    """Images of a part; 3 do not divide the 5 of a batch."""
    monkeypatch.setattr(convolution, "PART", 1)
    monkeypatch.setattr(convolution, "LEAST", request.param)


@pytest.mark.parametrize(
    ("kernel", "strides", "padding"),
    [
        (3, (1, 1), "SAME"),
        (3, (2, 2), "SAME"),
        (3, (2, 2), ((1, 1), (1, 1))),
        (3, (2, 1), ((0, 2), (1, 0))),
        (1, (2, 2), ((0, 0), (0, 0))),
        (7, (2, 2), ((3, 3), (3, 3))),
        (2, (1, 1), "VALID"),
    ],
)
def test_the_gradients_are_those_of_xla(kernel, strides, padding, at_a_time):
    images, weights = _operands(kernel=kernel)
    ours, xla = _both(strides, padding)
    np.testing.assert_array_equal(ours(images, weights), xla(images, weights))
    found, wanted = (_gradients(f, images, weights) for f in (ours, xla))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6 * np.abs(b).max())


def test_parts_are_added_in_float32(monkeypatch):
    monkeypatch.setattr(convolution, "PART", 1)
    monkeypatch.setattr(convolution, "LEAST", 1)  # one image at a time
    images, weights = _operands(batch=300, dtype="bfloat16")
    ours, _ = _both((1, 1), "SAME")
    images, weights = jnp.ones_like(images), jnp.zeros_like(weights)
    _, pull = jax.vjp(ours, images, weights)
    ones = jnp.ones((300, 8, 9, 4), jnp.bfloat16)
    middle = pull(ones)[1][1, 1]  # 300 * 72 = 21600; a bfloat16 sum stops growing at 256 terms
    np.testing.assert_allclose(middle.astype(jnp.float32), 21600, rtol=1e-2)


def test_every_convolution_of_a_loop_has_the_layout_that_a_cpu_is_fast_in():
    net = networks.resnet_tiny(padding="torch")
    images = jnp.zeros((3, 4, 16, 16, 3))
    params, stats = net.init(jax.random.key(0), images[0])

    def loss(params, part):
        return jnp.sum(net.apply(params, stats, part, train=True)[0])

    def total(params, images):
        return jax.lax.map(functools.partial(jax.grad(loss), params), images)

    text = jax.jit(total).lower(params, images).compile().as_text()
    layouts = re.findall(r" convolution\(.*dim_labels=(\S+?),? ", text)
    assert len(layouts) > 10 and set(layouts) == {"b01f_01io->b01f"}
    assert "lhs_dilate" not in text


@pytest.mark.parametrize("options", [{"kernel_dilation": 2}, {"feature_group_count": 2}])
def test_dilations_and_groups_are_refused(options):
    module = nn.Conv(4, (3, 3), conv_general_dilated=convolution.convolve, **options)
    with pytest.raises(ValueError, match="supports only dilations of 1 .* use jax.lax"):
        module.init(jax.random.key(0), jnp.zeros((1, 8, 8, 4)))


@pytest.fixture(params=[1, 128])
def channels(request, monkeypatch):
    """Fewest channels of Winograd's form forward; its kernel gradient is used in any case."""
    monkeypatch.setattr(convolution, "CHANNELS", request.param)


@pytest.mark.parametrize("side", [(8, 12), (4, 4)])
def test_winograds_form_is_the_convolution_and_its_gradients(side, channels, at_a_time):
    images, weights = _operands(side=side)
    _, xla = _both((1, 1), "SAME")
    ours = functools.partial(
        convolution.convolve, strides=(1, 1), padding=((1, 1), (1, 1)), form="winograd"
    )
    cotangent = jnp.asarray(np.random.default_rng(1).standard_normal((5, *side, 4)), jnp.float32)
    with jax.enable_x64(True):
        wide = [jnp.asarray(np.asarray(x), jnp.float64) for x in (images, weights, cotangent)]
        exact, pull = jax.vjp(xla, *wide[:2])
        exact = [np.asarray(x) for x in (exact, *pull(wide[2]))]
    value, pull = jax.vjp(ours, images, weights)
    for a, b in zip([value, *pull(cotangent)], exact, strict=True):
        error = np.abs(np.asarray(a) - b).max()
        assert error < 5e-5 * np.std(b)


@pytest.mark.parametrize(
    ("kernel", "strides", "padding", "side"),
    [(3, (2, 2), "SAME", (8, 8)), (1, (1, 1), "SAME", (8, 8)), (3, (1, 1), "SAME", (6, 8))]
    + [(3, (1, 1), "VALID", (8, 8))],
)
def test_other_geometries_stay_direct(kernel, strides, padding, side, channels):
    images, weights = _operands(side=side, kernel=kernel)
    ours, _ = _both(strides, padding)
    form = functools.partial(ours, form="winograd")
    np.testing.assert_array_equal(form(images, weights), ours(images, weights))
    for a, b in zip(*(_gradients(f, images, weights) for f in (form, ours)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_bfloat16_stays_direct(channels):
    images, weights = _operands(side=(8, 8), dtype="bfloat16")
    ours, _ = _both((1, 1), "SAME")
    form = functools.partial(ours, form="winograd")
    np.testing.assert_array_equal(form(images, weights), ours(images, weights))


def test_a_network_of_winograds_form_has_the_direct_ones_features(monkeypatch):
    monkeypatch.setattr(convolution, "CHANNELS", 1)
    images = jnp.asarray(np.random.default_rng(0).uniform(size=(4, 16, 16, 3)), jnp.float32)
    nets = [networks.resnet_tiny(convolution=form) for form in convolution.FORMS]
    params, stats = nets[0].init(jax.random.key(0), images)

    @functools.partial(jax.jit, static_argnums=0)
    def features(net, images):
        return net.apply(params, stats, images, train=True)[0]

    direct, winograd = (features(net, images) for net in nets)
    np.testing.assert_allclose(winograd, direct, atol=1e-4 * np.abs(direct).max())
    assert not np.array_equal(winograd, direct)


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="unknown convolution 'fft'; choose one of direct"):
        networks.resnet_tiny(convolution="fft")
    images, weights = _operands()
    with pytest.raises(ValueError, match="unknown form 'fft'"):
        convolution.convolve(images, weights, (1, 1), "SAME", form="fft")
