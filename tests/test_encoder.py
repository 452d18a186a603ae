"""A trained encoder by itself: its file comes back bit for bit, and it is what evaluation uses."""

import errno
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import byol_jax
from byol_jax import augment, encoders, networks
from support import small_encoders


def _same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


@pytest.mark.parametrize("layout", encoders.file.LAYOUTS)
def test_a_file_gives_back_the_same_arrays_bit_for_bit(layout, tmp_path):
    made = small_encoders.make()
    file = tmp_path / "new" / "encoder.safetensors"
    encoders.file.write(file, made.params, made.stats, made.info, layout=layout)
    params, stats, info = encoders.file.read(file)
    _same((params, stats), (made.params, made.stats))
    assert info == made.info
    assert [f.name for f in file.parent.iterdir()] == [file.name]


def test_the_metadata_speak_plainly(tmp_path):
    made = small_encoders.make()
    encoders.file.write(tmp_path / "x.safetensors", made.params, made.stats, made.info)
    with safetensors.safe_open(tmp_path / "x.safetensors", "np") as opened:
        metadata = opened.metadata()
    assert metadata["architecture"] == "resnet_tiny" and metadata["padding"] == "torch"
    assert metadata["input_range"] == "[0, 1]" and metadata["input_mean"] == "[0.4]"
    assert (metadata["method"], metadata["data"], metadata["step"]) == ("byol", "made up", "7")


def test_features_are_those_of_the_network_on_the_evaluation_view():
    made, images = small_encoders.make(), small_encoders.images(5)
    view = jax.vmap(augment.evaluation_view(**made.info.view))
    net = networks.ENCODERS["resnet_tiny"]()
    want, _ = net.apply(made.params, made.stats, view(images), train=False)
    got = made(images)
    assert got.dtype == np.float32 and got.shape == (5, made.num_features)
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 3, 8, 21])
def test_batches_change_nothing(count):
    made, images = small_encoders.make(), small_encoders.images(21)
    whole = made(images, batch_size=64)
    np.testing.assert_allclose(made(images[:count], batch_size=8), whole[:count], atol=1e-5)


def test_patches_give_their_mean():
    patches = {"size": 4, "stride": 2}
    made, images = small_encoders.make(patches=patches), small_encoders.images(2)
    net = networks.patchwise(networks.ENCODERS["resnet_tiny"](), **patches)
    want, _ = net.apply(made.params, made.stats, made.view(images), train=False)
    np.testing.assert_allclose(made(images), jnp.mean(want, (1, 2)), atol=1e-5)


def test_wrong_images_are_refused():
    with pytest.raises(
        ValueError, match=r"shape \[N, H, W, 1\], not \[8, 8, 1\]; add a batch axis"
    ):
        small_encoders.make()(small_encoders.images(1)[0])
    with pytest.raises(ValueError, match=r"not \[2, 8, 8, 3\]"):
        small_encoders.make()(small_encoders.images(2, (8, 8, 3)))


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_encoder_is_loaded_from_a_file_or_a_workdir(tmp_path):
    made = small_encoders.make()
    encoders.file.write(tmp_path / "encoder.safetensors", made.params, made.stats, made.info)
    assert (tmp_path / "encoder.safetensors").stat().st_mode & 0o777 == 0o666 & ~_umask()
    for place in (tmp_path, tmp_path / "encoder.safetensors"):
        loaded = byol_jax.load_encoder(place)
        np.testing.assert_array_equal(
            loaded(small_encoders.images(3)), made(small_encoders.images(3))
        )
    with pytest.raises(FileNotFoundError, match="byol_jax export --workdir="):
        byol_jax.load_encoder(tmp_path.parent)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        byol_jax.load_encoder(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"encoder": {"name": "resnet_tiny", "padding": "same"}},
            "padding 'same', but torchvision",
        ),
        ({"encoder": {"name": "resnet18", "padding": "fixed"}}, "padding 'fixed'"),
        ({"norm": "layer"}, "uses layer norm, but torchvision's ResNet uses batch norm"),
        ({"patches": {"size": 4, "stride": 2}}, "trained on patches"),
    ],
)
def test_what_torchvision_would_compute_otherwise_is_refused(changes, words, tmp_path):
    info, file = small_encoders.info(**changes), tmp_path / "x.safetensors"
    with pytest.raises(ValueError, match=f"{words}.*layout 'flax'"):
        encoders.file.write(file, {}, {}, info, layout="torchvision")
    assert not list(tmp_path.iterdir())


def _written(tmp_path, change=lambda metadata: None, tensors=None):
    made = small_encoders.make()
    file = tmp_path / "x.safetensors"
    encoders.file.write(file, made.params, made.stats, made.info)
    with safetensors.safe_open(file, "np") as opened:
        metadata = opened.metadata()
    change(metadata)
    tensors = safetensors.numpy.load_file(file) if tensors is None else tensors
    safetensors.numpy.save_file(tensors, file, metadata=metadata)
    return file


def _about(**changes):
    def change(metadata):
        metadata["about"] = json.dumps({**json.loads(metadata["about"]), **changes})

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.clear(), "not an encoder file.*byol_jax import --weights"),
        (lambda m: m.update(version="9"), "version '9'.*export the encoder again"),
        (lambda m: m.update(layout="keras"), "layout 'keras'"),
        (lambda m: m.update(about="{"), "does not describe an encoder"),
        (lambda m: m.pop("about"), "does not describe an encoder"),
        (_about(colour=1), "does not describe an encoder"),
        (_about(image_shape=[10**9, 8, 1]), "describes an invalid encoder"),
        (_about(view={"size": 10**9}), "describes an invalid encoder"),
        (_about(view={"sise": 8}), "cannot build the encoder.s preprocessing"),
        (_about(encoder={"name": "vgg"}), "cannot build the encoder"),
        (_about(encoder={"name": "resnet", "stages": [10**9]}), "cannot build the encoder"),
        (
            _about(encoder={"name": "resnet", "stages": [1, 1], "depth": 3}),
            "cannot build the encoder",
        ),
        (_about(encoder={"name": "resnet_small"}), "belong to another network"),
        (_about(encoder={"name": "resnet_tiny", "width": 10**6}), "belong to another network"),
        (_about(image_shape=[8, 8, 3]), "cannot process images of shape"),
        (_about(norm="layer"), "belong to another network"),
        (_about(norm="group"), "cannot build the encoder"),
        (_about(patches={"size": 9, "stride": 1}), "cannot process images of shape"),
        (_about(dtype="object"), "describes an invalid encoder"),
    ],
)
def test_a_file_that_tells_nonsense_is_refused(change, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        encoders.load(_written(tmp_path, change))


def test_arrays_of_another_shape_or_place_are_refused(tmp_path):
    ones = np.ones(2, np.float32)
    for tensors in ({"params/stem_conv/kernel": ones}, {"a": ones, "a/b": ones}, {}):
        with pytest.raises(ValueError, match=r"belong to another network|prefix of another"):
            encoders.load(_written(tmp_path, tensors=tensors))


@pytest.mark.parametrize("size", [0, 4, 8, 300, 5000])
def test_a_truncated_file_is_refused(size, tmp_path):
    file = _written(tmp_path)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        encoders.load(file)


def test_a_full_disk_leaves_the_file_before(tmp_path, monkeypatch):
    file = _written(tmp_path)
    before = file.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    made = small_encoders.make(1)
    with pytest.raises(OSError, match="check the folder.*free disk space"):
        encoders.file.write(file, made.params, made.stats, made.info)
    assert file.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
