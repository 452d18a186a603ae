"""Our ResNets in torchvision's names and back, bit for bit, and what is refused."""

import functools

import jax
import numpy as np
import pytest

from byol_jax import networks
from byol_jax.networks import torchvision

KINDS = {
    "resnet18": ("resnet18", {}),
    "resnet50": ("resnet50", {}),
    "wide": ("resnet50", {"inner_width": 2}),
    "double": ("resnet50", {"width": 2}),
    "cifar": ("resnet18", {"stem": "cifar"}),
    "projecting": ("resnet18", {"always_project": True}),
    "tiny": ("resnet_tiny", {}),
}


@functools.cache
def _arrays(kind):
    name, how = KINDS[kind]
    init = networks.ENCODERS[name](**how).init
    trees = jax.eval_shape(init, jax.random.key(0), jax.ShapeDtypeStruct((1, 64, 64, 3), "float32"))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: rng.random(x.shape, np.float32), trees)


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_back_change_no_bit(kind):
    params, stats = _arrays(kind)
    again = torchvision.from_torchvision(torchvision.to_torchvision(params, stats))
    assert jax.tree.structure(again) == jax.tree.structure((params, stats))
    jax.tree.map(np.testing.assert_array_equal, again, (params, stats))


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_tell_the_arguments_of_the_network(kind):
    params, stats = _arrays(kind)
    made = networks.resnet(**torchvision.architecture(params))
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    want = jax.eval_shape(made.init, jax.random.key(0), images)
    assert jax.tree.map(np.shape, (params, stats)) == jax.tree.map(np.shape, want)
    stem = KINDS[kind][1].get("stem", "cifar" if kind == "tiny" else "imagenet")
    assert torchvision.architecture(params)["stem"] == stem


def test_the_order_is_that_of_a_state_dict():
    names = list(torchvision.to_torchvision(*_arrays("resnet18")))
    bn = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert names[:6] == ["conv1.weight", *(f"bn1.{leaf}" for leaf in bn)]
    block = [n for n in names if n.startswith("layer2.0") and n.endswith("weight")]
    layers = ("conv1", "bn1", "conv2", "bn2", "downsample.0", "downsample.1")
    assert block == [f"layer2.0.{layer}.weight" for layer in layers]
    assert names[-1] == "layer4.1.bn2.num_batches_tracked"


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("fc.weight", (2, 2)),
        ("blocks.0.attn.qkv.weight", (2, 2)),
        ("conv1.bias", (64,)),
        ("bn1.weight", (2, 2)),
        ("conv2.weight", (2, 2, 1, 1)),
        ("layer1.0.conv1.0.weight", (2, 2, 1, 1)),
        ("layer1.00.conv1.weight", (64, 64, 3, 3)),
    ],
)
def test_other_tensors_are_refused_by_name(name, shape):
    tensors = torchvision.to_torchvision(*_arrays("resnet18")) | {name: np.zeros(shape)}
    with pytest.raises(
        ValueError, match=f"^these tensors do not belong to a torchvision ResNet: {name}\\."
    ):
        torchvision.from_torchvision(tensors)


def _without(tensors, beginning):
    return {name: x for name, x in tensors.items() if not name.startswith(beginning)}


def _with_weights(tensors, ending, change):
    return {name: change(x) if name.endswith(ending) else x for name, x in tensors.items()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: _without(t, "conv1."), "conv1.weight or layer1.0.conv1.weight is missing"),
        (lambda t: _without(t, "layer1.0."), "is missing or has another shape"),
        (lambda t: _without(t, "layer2."), "is missing or has another shape"),
        (lambda t: _without(t, "layer4."), None),
        (lambda t: _without(t, "layer2.1."), r"layer2.1.conv1.weight \(none, expected \["),
        (lambda t: _without(t, "bn1.running_var"), r"bn1.running_var \(none, expected \[64\]\)"),
        (lambda t: _with_weights(t, "conv2.weight", lambda x: x[:, :4]), "grouped convolutions"),
        (lambda t: _with_weights(t, "layer3.0.bn1.bias", lambda x: x[:4]), "layer3.0.bn1.bias"),
        (lambda t: _with_weights(t, "layer3.1.conv1.weight", lambda x: x[:0]), "layer3.1.conv1.w"),
        (lambda t: {}, "is missing or has another shape"),
    ],
)
def test_too_few_arrays_and_other_shapes_are_refused_by_name(change, words):
    tensors = change(torchvision.to_torchvision(*_arrays("resnet50")))
    if words is None:  # a network with fewer stages is one
        params, _ = torchvision.from_torchvision(tensors)
        assert torchvision.architecture(params)["stages"] == (3, 4, 6)
        return
    with pytest.raises(ValueError, match=words):
        torchvision.from_torchvision(tensors)


def test_what_torchvision_has_no_place_for_is_not_written():
    params, stats = _arrays("tiny")
    with pytest.raises(ValueError, match="stem_bn/scale"):
        torchvision.to_torchvision({**params, "stem_bn": {}}, stats)
    with pytest.raises(ValueError, match="stem_bn/var"):
        torchvision.to_torchvision(params, {**stats, "stem_bn": {}})
