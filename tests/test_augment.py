"""Augmentation: hand-worked images, chances, and every preset."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from byol_jax import augment
from byol_jax.augment import geometry, jitter

RANDOM = sorted(name for name in dir(augment) if name.startswith("random_"))
JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1}
OPTIONS = {"random_resized_crop": {"size": 16}, "random_color_jitter": JITTER}


def noise(*shape, seed=0):
    return jax.random.uniform(jax.random.key(seed), shape)


def keys(count, seed=1):
    return jax.random.split(jax.random.key(seed), count)


def test_hand_worked_pixels():
    image = jnp.array([[[0.2, 0.4, 0.8], [1.0, 0.0, 0.5]]])
    np.testing.assert_array_equal(augment.flip(image), image[:, jnp.array([1, 0])])
    solar = [[[0.2, 0.4, 0.2], [0.0, 0.0, 0.5]]]
    np.testing.assert_allclose(augment.solarize(image), solar, atol=1e-6)
    turned = [[[0.8, 0.2, 0.4], [0.5, 1.0, 0.0]]]  # a third of a turn: red is written to green
    np.testing.assert_allclose(augment.hue(image, delta=1 / 3), turned, atol=1e-6)
    grey = augment.grayscale(image)
    np.testing.assert_allclose(grey[0, 1], [0.2989 + 0.057] * 3, atol=1e-6)
    np.testing.assert_allclose(
        augment.contrast(image, factor=0.0)[0, 0], [0.6, 0.2, 0.65], atol=1e-6
    )
    full = augment.saturation(image, factor=9.0)  # blue is the value; red, the smallest, meets 0
    np.testing.assert_allclose(full[0, 0], [0.0, 0.8 - 0.4 / 0.75, 0.8], atol=1e-6)
    normal = augment.normalize(image, mean=(0.2, 0.4, 0.8), std=(1.0, 2.0, 0.1))
    np.testing.assert_allclose(normal[0], [[0, 0, 0], [0.8, -0.2, -3.0]], atol=1e-5)


@pytest.mark.parametrize("method", [pytest.param("bilinear", marks=pytest.mark.slow), "bicubic"])
def test_crop_is_cutting_out_then_resizing(method):
    image = noise(20, 24, 3)
    whole = jnp.array([0.0, 0.0, 20.0, 24.0])
    same = augment.crop_and_resize(image, whole, size=(20, 24), method=method)
    np.testing.assert_allclose(same, image, atol=1e-6)
    cut = augment.crop_and_resize(image, jnp.array([3, 5, 7, 9]), size=(7, 9), method=method)
    np.testing.assert_allclose(cut, image[3:10, 5:14], atol=1e-6)
    for antialias in (False, True):
        for size in ((5, 6), (19, 11)):
            how = {"size": size, "method": method, "antialias": antialias}
            ours = augment.crop_and_resize(image, jnp.array([3, 5, 7, 9]), **how)
            shape = (*size, 3)
            theirs = jax.image.resize(image[3:10, 5:14], shape, method, antialias=antialias)
            np.testing.assert_allclose(ours, jnp.clip(theirs, 0, 1), atol=2e-6)


def test_half_a_pixel_of_box_is_half_a_step():
    ramp = jnp.broadcast_to(jnp.arange(8.0)[None, :, None] / 10, (8, 8, 1))
    out = augment.crop_and_resize(ramp, jnp.array([0.0, 1.5, 8.0, 4.0]), size=(8, 4))
    np.testing.assert_allclose(out[0, :, 0], [0.15, 0.25, 0.35, 0.45], atol=1e-6)


@pytest.mark.parametrize(
    "padding, mode", [("same", "constant"), ("edge", "nearest"), ("reflect", "mirror")]
)
def test_blur_is_scipys_gaussian(padding, mode):
    image = noise(24, 20, 2)
    ours = augment.blur(image, sigma=1.3, kernel_size=11, padding=padding)
    theirs = ndimage.gaussian_filter(image, (1.3, 1.3, 0), mode=mode, radius=(5, 5, 0))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_blur_of_a_point_is_round_and_keeps_its_light():
    point = jnp.zeros((15, 15, 1)).at[7, 7].set(1.0)
    blurred = augment.blur(point, sigma=2.0, kernel_size=7)
    np.testing.assert_allclose(jnp.sum(blurred), 1.0, atol=1e-6)
    np.testing.assert_allclose(blurred, blurred.swapaxes(0, 1), atol=1e-7)
    np.testing.assert_array_equal(blurred[:4], jnp.zeros((4, 15, 1)))


def test_random_operations_take_the_key_first_and_options_by_keyword():
    for name in RANDOM:
        parameters = list(inspect.signature(getattr(augment, name)).parameters.values())
        positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        assert positional == (["key"] if name == "random_box" else ["key", "image"]), name


@pytest.mark.parametrize(
    "name", [n for n in RANDOM if n not in ("random_box", "random_resized_crop")]
)
def test_probability_is_the_share_of_changed_images(name):
    image = noise(20, 20, 3)
    operation = functools.partial(getattr(augment, name), **OPTIONS.get(name, {}))

    def changed(key, probability):
        return jnp.any(operation(key, image, probability=probability) != image)

    chance = functools.partial(changed, probability=0.3)
    share = jnp.mean(jax.jit(jax.vmap(chance))(keys(1000)), dtype=jnp.float32)
    assert 0.25 < share < 0.35  # 3.4 standard deviations
    off = operation(jax.random.key(0), image, probability=0.0)
    np.testing.assert_array_equal(off, image)
    with pytest.raises(ValueError, match="probability"):
        operation(jax.random.key(0), image, probability=1.5)


@pytest.mark.parametrize("attempts", [1, 10])
def test_random_boxes_lie_inside_and_have_the_area_asked_for(attempts):
    how = {"height": 200, "width": 200, "area": (0.2, 0.5), "attempts": attempts}
    boxes = jax.vmap(functools.partial(augment.random_box, **how))(keys(2000))
    top, left, height, width = np.asarray(boxes).T
    assert min(top.min(), left.min()) >= 0
    assert max((top + height).max(), (left + width).max()) <= 200
    share, ratio = height * width / 200**2, width / height
    assert share.min() > 0.195 and share.max() < 0.505
    assert ratio.min() > 0.74 and ratio.max() < 1.35
    assert abs(share.mean() - 0.35) < 0.01
    assert abs(np.log(ratio).mean()) < 0.02  # log-uniform: as often wide as tall


def test_a_box_that_never_fits_is_clipped_once_or_central_after_retries():
    how = {"height": 10, "width": 100, "area": (1.0, 1.0)}
    once = augment.random_box(jax.random.key(3), attempts=1, **how)
    assert once[2] == 10 and 27 <= once[3] <= 37
    np.testing.assert_array_equal(
        augment.random_box(jax.random.key(3), attempts=10, **how), [0, 43, 10, 13]
    )


def test_jitter_clips_and_shifts_all_pixels_by_one_amount():
    image = noise(6, 6, 3)
    on = functools.partial(augment.random_color_jitter, image=image, probability=1.0)
    jittered = jax.jit(jax.vmap(lambda key: on(key, **(JITTER | {"brightness": 0.9}))))(keys(64))
    assert jittered.min() == 0 and jittered.max() == 1
    lighter = functools.partial(on, brightness=0.4, contrast=0, saturation=0, hue=0)
    lighter = np.asarray(jax.jit(jax.vmap(lighter))(keys(64)))
    clipped = (lighter == 0) | (lighter == 1)
    shift = np.ma.array(lighter - np.asarray(image), mask=clipped).reshape(64, -1)
    np.testing.assert_allclose(shift.max(axis=1), shift.min(axis=1), atol=1e-6)
    assert -0.4 <= shift.min() < -0.3 and 0.3 < shift.max() <= 0.4
    still = on(jax.random.key(0), brightness=0, contrast=0, saturation=0, hue=0)
    np.testing.assert_array_equal(still, image)


def test_orders_are_all_drawn_and_as_often():
    def digit(d):
        return lambda image: 10.0 * image + d

    def order(key):
        operations = [digit(1.0), digit(2.0), digit(3.0), digit(4.0)]
        drawn = jitter._draw_order(key, len(operations))
        return jitter._apply_in_order(jnp.zeros(()), order=drawn, operations=operations)

    drawn, counts = np.unique(jax.jit(jax.vmap(order))(keys(4800)), return_counts=True)
    assert len(drawn) == 24 and {"".join(sorted(str(int(d)))) for d in drawn} == {"1234"}
    assert counts.min() > 140 and counts.max() < 260  # 200 expected, standard deviation 14


@pytest.mark.parametrize("channels, flags", [(1, True), (3, False), (5, True), (5, False)])
def test_any_number_of_channels_stays_in_range(channels, flags):
    images = noise(6, 24, 20, channels)
    names = ("additive_brightness", "per_channel_contrast", "hsv_saturation")
    settings = {"blur_probability": 0.5, "solarize_probability": 0.5, "method": "bicubic"}
    settings |= {"size": (16, 12), "blur_kernel_size": 3} | dict.fromkeys(names, flags)
    views = jax.jit(jax.vmap(augment.pipeline(**settings)))(keys(6), images)
    assert views.shape == (6, 16, 12, channels) and views.dtype == jnp.float32
    assert views.min() >= 0 and views.max() <= 1
    grey = augment.grayscale(images[0])
    if channels == 1:
        np.testing.assert_array_equal(grey, images[0])
    else:
        np.testing.assert_array_equal(grey[..., 0], grey[..., -1])


def test_jit_and_vmap_equal_a_loop():
    view = augment.preset("byol_2", size=24)
    images = noise(4, 32, 32, 3)
    batched = jax.jit(jax.vmap(view))(keys(4), images)
    one = jax.jit(view)
    loop = jnp.stack([one(key, image) for key, image in zip(keys(4), images, strict=True)])
    np.testing.assert_allclose(batched, loop, atol=1e-4)  # after division by std


@pytest.mark.parametrize("name", augment.PRESETS)
def test_every_preset_makes_views_and_a_batch_of_them_is_the_same(name):
    images = (255 * noise(4, 32, 32, 3)).astype(jnp.uint8)
    view = augment.preset(name, size=32)
    views = jax.jit(jax.vmap(view))(keys(4), images)
    assert views.shape == (4, 32, 32, 3) and views.dtype == jnp.float32
    assert jnp.all(jnp.isfinite(views))
    as_it_is = np.allclose(views, augment.to_float(images), atol=1e-6)
    assert as_it_is == (name == "plain")
    batch = jax.jit(augment.batched(view))(keys(4), images)
    np.testing.assert_allclose(batch, views, atol=1e-4)  # after division by std


@pytest.mark.parametrize("channels, kind", [(1, jnp.uint16), (5, jnp.float32)])
def test_a_batch_takes_any_channels_and_types(channels, kind):
    images = noise(3, 20, 16, channels)
    if kind == jnp.uint16:
        images = (65535 * images).astype(kind)
    view = augment.pipeline(size=(12, 14), blur_probability=0.5, blur_kernel_size=5)
    batch = jax.jit(augment.batched(view))(keys(3), images)
    assert batch.shape == (3, 12, 14, channels) and batch.dtype == jnp.float32
    np.testing.assert_allclose(batch, jax.vmap(view)(keys(3), images), atol=1e-5)


def test_bfloat16_views_are_the_float32_views_rounded():
    images = noise(8, 24, 24, 3)
    settings = {"size": 20, "blur_probability": 0.5, "solarize_probability": 0.0}
    exact = jax.jit(augment.batched(augment.pipeline(**settings)))(keys(8), images)
    view = augment.batched(augment.pipeline(**settings, dtype="bfloat16"))
    rounded = jax.jit(view)(keys(8), images)
    assert rounded.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        rounded.astype(jnp.float32), exact, atol=1e-5, rtol=1 / 256
    )  # half a step of 8 bits
    with pytest.raises(ValueError, match="float16.*bfloat16"):
        augment.pipeline(dtype="float16")


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [False, True])
def test_gathering_taps_is_the_product_with_a_matrix(method, antialias):
    image = noise(20, 23, 2)
    for axis, start, length, size in ((0, 0.0, 20.0, 9), (0, 3.0, 7.0, 15), (1, 4.25, 18.5, 4)):
        how = {"axis": axis, "num_out": size, "method": method, "antialias": antialias}
        by_taps = geometry._resample_by_taps(image, start, length, **how)
        by_matrix = geometry._resample_by_matrix(image, start, length, **how)
        np.testing.assert_allclose(by_taps, by_matrix, atol=1e-6)


def test_an_operations_draws_do_not_depend_on_the_others():
    image, key = noise(32, 32, 3), jax.random.key(5)
    everything = {"order": ("crop", "flip", "jitter"), "size": 16}
    off = augment.pipeline(**everything, flip_probability=0.0, jitter_probability=0.0)
    np.testing.assert_array_equal(
        off(key, image), augment.pipeline(order=("crop",), size=16)(key, image)
    )


def test_preset_overrides_and_strength():
    image, key = noise(32, 32, 3), jax.random.key(2)
    settings = {"size": 32, "blur_probability": 0.0}
    half = augment.preset("simclr", strength=0.5, **settings)(key, image)
    np.testing.assert_array_equal(half, augment.preset("simclr_cifar")(key, image))
    assert not np.array_equal(half, augment.preset("simclr", **settings)(key, image))


def test_integers_become_shares_of_full_scale():
    for kind, full in ((jnp.uint8, 255), (jnp.uint16, 65535)):
        image = augment.to_float(jnp.array([[[0], [full]]], kind))
        np.testing.assert_array_equal(image, [[[0.0], [1.0]]])
    with pytest.raises(TypeError, match="int32"):
        augment.to_float(jnp.zeros((2, 2, 1), jnp.int32))


def test_evaluation_view_keeps_the_centre():
    image = noise(32, 48, 3)
    same = augment.evaluation_view(size=32)(image[:, :32])
    np.testing.assert_array_equal(same, image[:, :32])
    np.testing.assert_array_equal(augment.evaluation_view(size=32)(image), image[:, 8:40])
    middle = augment.evaluation_view(size=16, proportion=0.5)(image)
    np.testing.assert_array_equal(middle, image[8:24, 16:32])
    half = augment.evaluation_view(size=16, mean=(0.5,), std=(0.5,))(image)
    assert half.shape == (16, 16, 3) and half.min() < 0


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="'blurr'.*solarize"):
        augment.pipeline(order=("crop", "blurr"))
    with pytest.raises(ValueError, match="'byol'.*byol_1"):
        augment.preset("byol")
    with pytest.raises(TypeError, match="colour"):
        augment.pipeline(colour=1)
    with pytest.raises(ValueError, match="both"):
        augment.pipeline(mean=(0.5,))
    with pytest.raises(ValueError, match="odd"):
        augment.blur(noise(8, 8, 1), sigma=1.0, kernel_size=4)
    with pytest.raises(ValueError, match="channels"):
        augment.normalize(noise(8, 8, 1), mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="bicubic"):
        augment.resize(noise(8, 8, 1), size=4, method="lanczos")
    with pytest.raises(ValueError, match="larger"):
        augment.center_crop(noise(8, 8, 1), size=9)


FLOAT_OPERATIONS = {
    "add_brightness": {"delta": 0.1},
    "scale_brightness": {"factor": 0.9},
    "contrast": {"factor": 0.9},
    "saturation": {"factor": 0.9},
    "hue": {"delta": 0.1},
    "grayscale": {},
    "solarize": {},
    "normalize": {"mean": (0.5,), "std": (0.2,)},
    "blur": {"sigma": 1.0, "kernel_size": 3},
    "resize": {"size": 6},
    "crop_and_resize": {"box": jnp.array([1, 1, 5, 5]), "size": 6},
    "random_resized_crop": {"size": 6},
    "random_color_jitter": {**JITTER, "probability": 1.0},
    "random_grayscale": {"probability": 1.0},
    "random_blur": {"kernel_size": 3, "probability": 1.0},
    "random_solarize": {"probability": 1.0},
}


def _operation(name):
    options = dict(FLOAT_OPERATIONS[name])
    operation = getattr(augment, name)
    if name.startswith("random_"):
        return lambda image: operation(jax.random.key(3), image, **options)
    box = options.pop("box", None)
    return lambda image: operation(image, *([] if box is None else [box]), **options)


@pytest.mark.parametrize("name", FLOAT_OPERATIONS)
def test_an_operation_keeps_a_half_precision_dtype_and_refuses_integers(name):
    operation = _operation(name)
    image = noise(8, 8, 3)
    for dtype in (jnp.bfloat16, jnp.float16):
        half = operation(image.astype(dtype))
        want = operation(image.astype(dtype).astype(jnp.float32)).astype(dtype)
        assert half.dtype == dtype
        np.testing.assert_array_equal(half.astype(jnp.float32), want.astype(jnp.float32))
    with pytest.raises(ValueError, match="dtype uint8.*augment.to_float"):
        operation((image * 255).astype(jnp.uint8))


def test_operations_that_move_pixels_take_integers():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    flipped = augment.random_flip(jax.random.key(0), image, probability=1.0)
    np.testing.assert_array_equal(flipped, image[:, ::-1])
    np.testing.assert_array_equal(augment.center_crop(image, size=2), image[1:3, 1:3])


def test_gradients_and_blurs_are_finite_at_their_limits():
    def total(image):
        return jnp.sum(augment.saturation(image, factor=1.5))

    for value in (0.0, 0.5):  # black, and gray: the saturation has no limit
        assert jnp.all(jnp.isfinite(jax.grad(total)(jnp.full((2, 2, 3), value))))
    image = noise(8, 8, 3)
    np.testing.assert_array_equal(augment.blur(image, sigma=0.0, kernel_size=3), image)


def test_a_second_call_outside_of_jit_compiles_nothing(caplog):
    image = noise(9, 9, 3)
    view = augment.preset("simclr", size=7, ratio=[0.7, 1.3])
    views = augment.batched(view)
    calls = {
        "crop": lambda key: augment.random_resized_crop(key, image, size=[5, 5]),
        "jitter": lambda key: augment.random_color_jitter(key, image, **JITTER),
        "view": lambda key: view(key, image),
        "batch": lambda key: views(key[None], image[None]),
    }
    for number, (name, call) in enumerate(calls.items()):
        first, second = keys(2, seed=number)
        with jax.log_compiles():
            call(first)
            assert "compil" in caplog.text.lower(), name
            caplog.clear()
            call(second)
            assert "compil" not in caplog.text.lower(), name
