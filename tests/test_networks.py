"""Networks: sizes, paddings, what is computed anew, and heads."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from byol_jax import networks
from support import arrays


def _init(net, x):
    return jax.jit(net.init)(jax.random.key(1), x)


def _shapes(net, *image):
    """The shapes of params and stats for images [H, W, C], with nothing computed."""
    return jax.eval_shape(net.init, jax.random.key(0), jax.ShapeDtypeStruct((2, *image), "float32"))


def _count(params, *names):
    """How many numbers params hold, in all leaves or in those called one of `names`."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return sum(leaf.size for path, leaf in leaves if not names or path[-1].key in names)


# Residual networks


@pytest.mark.parametrize(
    ("net", "count"),
    [  # torchvision's counts without the last layer
        (networks.resnet18(), 11_176_512),
        (networks.resnet50(), 23_508_032),
        (networks.resnet50(inner_width=2), 66_834_240),
    ],
)
def test_resnets_have_the_published_number_of_parameters(net, count):
    assert _count(_shapes(net, 224, 224, 3)[0]) == count


def test_twice_the_width_quadruples_every_convolution_but_the_first():
    one, two = (_shapes(networks.resnet50(width=w), 224, 224, 3)[0] for w in (1, 2))
    stem = _count(one["stem_conv"])
    kernels, norms = _count(one, "kernel"), _count(one, "scale", "bias")
    assert _count(two) == 4 * (kernels - stem) + 2 * stem + 2 * norms


@pytest.mark.parametrize(("stem", "size", "positions"), [("imagenet", 7, 64), ("cifar", 3, 1024)])
def test_the_stem_sets_the_first_kernel_and_the_size_of_the_map(stem, size, positions):
    net = networks.resnet((1,), widths=(8,), stem=stem)
    assert _shapes(net, 32, 32, 5)[0]["stem_conv"]["kernel"].shape == (size, size, 5, 64)
    seen = []

    def watch(next_call, args, kwargs, context):
        y = next_call(*args, **kwargs)
        if context.module.name == "stage1_block1":
            seen.append(y.shape[1] * y.shape[2])
        return y

    with nn.intercept_methods(watch):
        _shapes(net, 32, 32, 1)
    assert seen == [positions]


def _block(**options):
    """A network of one small block."""
    return networks.resnet((1,), **{"widths": (8,), "stem_width": 8, "stem": "cifar"} | options)


def _drawn(net, *image):
    """Params and stats that numpy draws, which compiles nothing."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.uniform(0.1, 1, leaf.shape), _shapes(net, *image))


@functools.cache
def _features(stem, stages, padding):
    """Of the same images with the same parameters, whatever the padding."""
    options = {"widths": (4, 8)[:stages], "stem_width": 4, "stem": stem}
    net = networks.resnet((1,) * stages, padding=padding, **options)
    params, stats = _drawn(net, 16, 16, 3)
    return arrays.apply(net, params, stats, arrays.normal(0, 2, 16, 16, 3), train=False)[0]


def _differ(a, b):
    return np.abs(a / b - 1).max() > 1e-3


def test_same_and_torch_padding_agree_at_stride_1_and_differ_at_stride_2():
    np.testing.assert_array_equal(*(_features("cifar", 1, p) for p in ("same", "torch")))
    assert _differ(*(_features("cifar", 2, p) for p in ("same", "torch")))


def test_fixed_padding_is_torchs_but_for_the_pool_which_is_same():
    np.testing.assert_array_equal(*(_features("cifar", 2, p) for p in ("fixed", "torch")))
    assert _differ(*(_features("imagenet", 1, p) for p in ("fixed", "torch")))


@pytest.mark.parametrize("bottleneck", [False, True])
def test_zero_last_scale_starts_a_block_as_relu_of_its_shortcut(bottleneck):
    width = 4 if bottleneck else 16
    options = {"widths": (width,), "bottleneck": bottleneck, "stem_width": 16, "stem": "cifar"}
    images = arrays.normal(0, 2, 8, 8, 3)
    with_block = networks.resnet((1,), zero_last_scale=True, **options)
    params, stats = _init(with_block, images)
    scales = [params["stage1_block1"][f"bn{i}"]["scale"][0] for i in range(1, 3 + bottleneck)]
    assert scales == [1.0] * (1 + bottleneck) + [0.0]  # the last alone, or no gradient would pass
    stem_alone = networks.resnet((), **options | {"widths": ()})  # its ReLU is done already
    want, _ = arrays.apply(stem_alone, params, stats, images, train=True)
    got, _ = arrays.apply(with_block, params, stats, images, train=True)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize(("always", "want"), [(False, set()), (True, {"stage1_block1"})])
def test_always_project_puts_a_convolution_in_a_shortcut_that_needs_none(always, want):
    net = networks.resnet18(stem="cifar", always_project=always)
    params = _shapes(net, 32, 32, 3)[0]
    shortcuts = {name for name, block in params.items() if "shortcut_conv" in block}
    assert shortcuts == want | {f"stage{i}_block1" for i in (2, 3, 4)}


@pytest.mark.parametrize("remat", ["elementwise", "blocks"])
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_what_is_computed_anew_is_the_same_again(stem, remat):
    make = functools.partial(networks.resnet, (1, 2), widths=(4, 8), stem_width=4, stem=stem)
    images = arrays.normal(0, 6, 32, 32, 3)
    params, stats = _init(make(bottleneck=True), images)

    def measured(net):
        def loss(params):
            features, moved = net.apply(params, stats, images, train=True)
            return jnp.sum(features**2), moved

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(params)

    plain, anew = measured(make(bottleneck=True)), measured(make(bottleneck=True, remat=remat))
    for a, b in zip(jax.tree.leaves(anew), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())


def test_remat_keeps_convolutions_or_only_what_enters_a_block(capsys):
    def kept(remat):
        net = networks.resnet((2,), widths=(4,), stem_width=4, stem="cifar", remat=remat)
        images = arrays.normal(0, 2, 8, 8, 3)
        params, stats = _init(net, images)

        def loss(params):
            return jnp.sum(net.apply(params, stats, images, train=True)[0])

        jax.ad_checkpoint.print_saved_residuals(loss, params)
        lines = capsys.readouterr().out.splitlines()
        return sum("[2,8,8,4]" in line for line in lines)

    stem, blocks = 1, 2
    assert kept("blocks") <= stem + blocks + 2  # what leaves each, and what is pooled at the end
    assert kept("blocks") < kept("elementwise") < kept(None)


def test_features_are_float32_whatever_the_network_computes_in():
    images = arrays.normal(0, 2, 8, 8, 3)
    half, full = (_block(dtype=d) for d in ("bfloat16", "float32"))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(_shapes(half, 8, 8, 3))} == {"float32"}
    params, stats = _drawn(half, 8, 8, 3)
    got, want = (arrays.apply(net, params, stats, images, train=True)[0] for net in (half, full))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("option", ["stem", "padding", "remat"])
def test_an_unknown_option_of_a_resnet_names_the_known_ones(option):
    with pytest.raises(ValueError, match=rf"unknown {option} 'odd'; choose one of \w+, "):
        networks.resnet18(**{option: "odd"})


# Heads


def test_a_head_maps_features_to_its_last_width():
    x = arrays.normal(0, 4, 6)
    params, stats = _init(networks.mlp((7, 5, 3)), x)
    kernels = [params[f"dense{i}"]["kernel"].shape for i in (1, 2, 3)]
    assert kernels == [(6, 7), (7, 5), (5, 3)]
    assert sorted(stats) == ["bn1", "bn2"]
    assert arrays.apply(networks.mlp((7, 5, 3)), params, stats, x, train=True)[0].shape == (4, 3)


def test_a_head_of_one_width_is_a_linear_map():
    x = arrays.normal(0, 4, 6)
    head = networks.mlp((3,), last_bias=False)
    params, stats = _init(head, x)
    assert stats == {} and _count(params) == 18
    got, _ = arrays.apply(head, params, stats, x, train=True)
    np.testing.assert_allclose(got, x @ params["dense1"]["kernel"], rtol=1e-6)


@pytest.mark.parametrize(
    ("last_norm", "learned"),
    [("plain", set()), ("scale", {"scale"}), ("affine", {"scale", "bias"})],
)
def test_the_last_norm_makes_outputs_standard_and_learns_what_it_says(last_norm, learned):
    x = arrays.normal(0, 16, 6)
    head = networks.mlp((8, 3), last_norm=last_norm, batch_norm=None)
    params, stats = _init(head, x)
    y, _ = arrays.apply(head, params, stats, x, train=True)
    assert set(params.get("bn2", {})) == learned and set(stats) == {"bn2"}
    np.testing.assert_allclose(y.mean(axis=0), np.zeros(3), atol=1e-5)
    np.testing.assert_allclose(y.std(axis=0), np.ones(3), atol=1e-2)


@pytest.mark.parametrize(
    ("kernel_init", "deviation", "largest"),
    [("lecun", 0.1, 0.23), ("torch", 0.1 / 3**0.5, 0.1), (0.01, 0.01, 0.06)],
)
def test_kernel_init_sets_how_a_heads_weights_are_drawn(kernel_init, deviation, largest):
    head = networks.mlp((50,), kernel_init=kernel_init)
    kernel = head.init(jax.random.key(0), jnp.zeros((2, 100)))[0]["dense1"]["kernel"]
    np.testing.assert_allclose(kernel.std(), deviation, rtol=0.05)
    assert np.abs(kernel).max() <= largest


def test_an_unknown_kernel_init_names_the_known_ones():
    with pytest.raises(ValueError, match="unknown kernel_init 'odd'; choose lecun, torch"):
        networks.mlp((8, 3), kernel_init="odd")


def test_an_unknown_last_norm_names_the_known_ones():
    with pytest.raises(ValueError, match="unknown last_norm 'odd'; choose scale, affine, plain"):
        networks.mlp((8, 3), last_norm="odd")
