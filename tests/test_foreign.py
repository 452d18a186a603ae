"""Weights made elsewhere: each form of file and each project's names become the same arrays."""

import argparse
import collections
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from byol_jax import augment
from byol_jax.encoders import foreign
from byol_jax.encoders.foreign import names, tensors
from support import weights


def _write_safetensors(path, named):
    safetensors.numpy.save_file(named, path)


def _write_npz(path, named):
    with path.open("wb") as file:
        np.savez(file, **named)


def _write_packed_npz(path, named):
    with path.open("wb") as file:
        np.savez_compressed(file, **named)


def _write_zip(path, named):
    path.write_bytes(weights.torch_zip(weights.tensors(named)))


def _write_legacy(path, named):
    path.write_bytes(weights.torch_legacy(weights.tensors(named)))


WRITERS = {
    "safetensors": _write_safetensors,
    "npz": _write_npz,
    "packed npz": _write_packed_npz,
    "torch zip": _write_zip,
    "torch legacy": _write_legacy,
}


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_gives_the_same_arrays_whatever_its_name(form, tmp_path):
    path = tmp_path / "weights"
    WRITERS[form](path, weights.state_dict())
    found = foreign.load(path)
    weights.same((found.params, found.stats), weights.arrays())
    assert (found.kind, found.image_size, found.encoder["padding"]) == ("torchvision", 32, "torch")
    assert weights.shapes_of(found) == jax.eval_shape(lambda: (found.params, found.stats))
    augment.evaluation_view(**found.view)


@pytest.mark.parametrize(
    ("prefix", "kind"),
    [
        ("module.encoder_q.", "moco"),
        ("module.base_encoder.", "mocov3"),
        ("base_encoder.", "mocov3"),
        ("backbone.", "torchvision"),
        ("model.encoder.", "torchvision"),
    ],
)
def test_prefixes_and_wrappers_and_what_else_a_checkpoint_has(prefix, kind, tmp_path):
    other = {
        "module.encoder_k.conv1.weight": np.ones((2, 2, 7, 7), np.float32),
        "module.encoder_k.layer1.0.conv1.weight": np.ones((2, 2, 1, 1), np.float32),
        "module.momentum_encoder.conv1.weight": np.ones((2, 2, 7, 7), np.float32),
        "module.predictor.0.weight": np.ones((2, 2), np.float32),
        "module.queue": np.ones((2, 2), np.float32),
    }
    named = {**weights.state_dict(prefix, factory="resnet", **weights.BOTTLENECK), **other}
    momentum = {"momentum_buffer": weights.Tensor(np.ones(3, np.float32))}
    checkpoint = {
        "epoch": 200,
        "arch": "resnet50",
        "state_dict": weights.tensors(named),
        "optimizer": {"state": {0: momentum}, "param_groups": [{"lr": 0.03, "params": [0, 1]}]},
        "args": argparse.Namespace(lr=0.03, crop=(0.2, 1.0), seed=None),
        "best": np.float64(3.5),
        "history": collections.defaultdict(list, loss=[1.0, 2.0]),
    }
    for write in (weights.torch_zip, weights.torch_legacy):
        (tmp_path / "x.pth.tar").write_bytes(write(checkpoint))
        found = foreign.load(tmp_path / "x.pth.tar")
        weights.same((found.params, found.stats), weights.arrays("resnet", **weights.BOTTLENECK))
        assert found.kind == kind
        assert found.image_size == 256 and found.view["method"] == "bilinear"
        assert found.view["mean"] == list(augment.IMAGENET_MEAN)


def test_lightlys_numbers_are_torchvisions_children():
    numbers = {"conv1": "0", "bn1": "1", **{f"layer{i}": str(i + 3) for i in (1, 2, 3, 4)}}
    listed = {}
    for name, x in weights.state_dict().items():
        first, _, rest = name.partition(".")
        if first != "fc":
            listed[f"backbone.{numbers[first]}.{rest}"] = x
    found = names.recognize(listed)
    weights.same((found.params, found.stats), weights.arrays())


def test_a_module_on_several_devices():
    found = names.recognize(weights.state_dict("state_dict.module."))
    weights.same((found.params, found.stats), weights.arrays())


def test_a_picture_with_other_channels_is_not_normalized():
    named = weights.state_dict()
    named["conv1.weight"] = named["conv1.weight"][:, :1]
    assert "mean" not in names.recognize(named).view


@pytest.mark.parametrize("narrow", ["f2", "u2"])
@pytest.mark.parametrize("write", [weights.torch_zip, weights.torch_legacy])
def test_half_precision_becomes_float32_in_torch_files(narrow, write, tmp_path):
    x = np.array([1.5, -2.0, 0.25], np.float32)
    stored = x.astype("f2") if narrow == "f2" else (x.view("u4") >> 16).astype("u2")  # bfloat16
    (tmp_path / "x").write_bytes(write({"a": weights.Tensor(stored)}))
    found = tensors.read(tmp_path / "x")["a"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, x)


def test_half_precision_becomes_float32_in_safetensors(tmp_path):
    x = np.array([1.5, -2.0, 0.25], np.float32)
    both = {"a": x.astype(jnp.bfloat16), "b": x.astype(np.float16)}
    safetensors.numpy.save_file(both, tmp_path / "x")
    for found in tensors.read(tmp_path / "x").values():
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, x)


def test_strides_and_offsets_are_followed(tmp_path):
    x = np.arange(24, dtype=np.float32)
    view = weights.Tensor(x, offset=2, size=(3, 4), strides=(1, 5))
    (tmp_path / "x").write_bytes(weights.torch_zip({"a": view, "b": [weights.Tensor(x[:1])]}))
    found = tensors.read(tmp_path / "x")
    want = np.lib.stride_tricks.as_strided(x[2:], (3, 4), (4, 20))
    np.testing.assert_array_equal(found["a"], want)
    assert found["b.0"].shape == (1,)


@pytest.mark.parametrize("is_new", [True, False])
def test_files_of_torch_itself(is_new, tmp_path):
    torch = pytest.importorskip("torch")
    named = {name: torch.from_numpy(np.array(x)) for name, x in weights.state_dict().items()}
    named["conv1.weight"] = torch.nn.Parameter(named["conv1.weight"])
    named["fc.weight"] = named["fc.weight"].T.to(torch.bfloat16)
    checkpoint = {"state_dict": named, "epoch": 3, "shape": torch.Size([1, 2])}
    path = tmp_path / "x.pt"
    torch.save(checkpoint, path, _use_new_zipfile_serialization=is_new)
    found = foreign.load(path)
    weights.same((found.params, found.stats), weights.arrays())
    assert tensors.read(path)["state_dict.fc.weight"].shape == (3, 2)


# What is refused


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({}, "contains no arrays; byol_jax reads ResNets"),
        ({"cls_token": 1, "blocks.0.attn.qkv.weight": 2}, "vision transformer, such as cls_token"),
        ({"conv1.0.weight": 1, "layer1.0.conv1.weight": 1}, "a deep stem"),
        ({"a": 1, "b/c": 1}, "unknown names, such as a, b/c; byol_jax reads ResNets"),
        ({"base_model/conv2d_3/kernel": 1}, "one batch norm for each convolution"),
        ({"online_params/res_net50/~/conv_0/w": 1}, "not those of a BYOL ResNet"),
    ],
)
def test_other_networks_are_refused_with_their_names(named, words):
    with pytest.raises(ValueError, match=words):
        names.recognize({name: np.ones(x) for name, x in named.items()})


def test_grouped_convolutions_and_two_networks_are_refused():
    named = weights.state_dict(factory="resnet", **weights.BOTTLENECK)
    grouped = {n: x[:, :2] if n.endswith("conv2.weight") else x for n, x in named.items()}
    with pytest.raises(ValueError, match="grouped convolutions"):
        names.recognize(grouped)
    two = {**weights.state_dict("backbone."), **weights.state_dict("encoder.")}
    with pytest.raises(
        ValueError, match=r"contains 2 ResNets, with the prefixes \['backbone.', 'encoder.'\]"
    ):
        names.recognize(two)


def test_places_without_a_file_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        foreign.load(tmp_path / "none.pt")
    (tmp_path / "link").symlink_to(tmp_path / "none.pt")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        foreign.load(tmp_path / "link")
    with pytest.raises(ValueError, match="the path is not a regular file"):
        foreign.load(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="the file is empty"):
        foreign.load(tmp_path / "empty")
    (tmp_path / "text").write_text("these are no weights")
    with pytest.raises(ValueError, match="begins with 74 68 65 73"):
        foreign.load(tmp_path / "text")


def test_a_link_to_a_file_is_the_file(tmp_path):
    _write_safetensors(tmp_path / "blob", weights.state_dict())
    (tmp_path / "link").symlink_to(tmp_path / "blob")
    assert foreign.load(tmp_path / "link").kind == "torchvision"


def test_unpickle_wants_a_pickle_and_a_place(tmp_path):
    _write_safetensors(tmp_path / "x", weights.state_dict())
    with pytest.raises(
        ValueError, match="the file format is safetensors, which contains no pickle"
    ):
        foreign.unpickle(tmp_path / "x", tmp_path / "y.npz")
    (tmp_path / "x").write_bytes(pickle.dumps({"a": [1, "b"]}))
    with pytest.raises(ValueError, match="no arrays of NumPy or JAX"):
        foreign.unpickle(tmp_path / "x", tmp_path / "y.npz")
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        foreign.unpickle(tmp_path / "x", tmp_path / "y")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
