"""An exported network gives our features in PyTorch, and torchvision's network gives them here."""

import jax
import numpy as np
import pytest

from byol_jax import augment, encoders, methods, networks, optimizers, train_state, train_step
from byol_jax.networks import torchvision as layout
from support import recorded, recorded_names, small_encoders

SIDE = 64
VIEW = {"size": SIDE, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.25]}


def _trained(name):
    """After three steps of SimCLR, whose statistics are far from where they started."""
    images = small_encoders.images(8, (SIDE, SIDE, 3))
    view = augment.batched(augment.preset("simclr_cifar", **VIEW))

    def make_views(keys, images):
        pairs = jax.vmap(lambda key: jax.random.split(key, 2))(keys)
        return tuple(view(pairs[:, number], images) for number in range(2))

    net = networks.ENCODERS[name]()
    method = methods.simclr(net, networks.mlp((32, 16)))
    optimizer = optimizers.sgd(0.1)
    keys = jax.random.split(jax.random.key(0), len(images))
    state = jax.jit(
        lambda: train_state.create(method, optimizer, make_views(keys, images), seed=0)
    )()
    step = jax.jit(train_step.make(method, optimizer, make_views=make_views, seed=0))
    for _ in range(3):
        state, metrics = step(state, {"image": images, "index": np.arange(8, dtype=np.int32)})
    assert np.isfinite(metrics["loss"])
    info = small_encoders.info(encoder={"name": name}, image_shape=(SIDE, SIDE, 3), view=VIEW)
    arrays = jax.device_get((state.params["encoder"], state.stats["encoder"]))
    moved = np.abs(arrays[1]["stem_bn"]["mean"]).max()
    assert moved > 0.05, moved
    return encoders.Encoder(*arrays, info)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchs_network_gives_our_features(name, tmp_path):
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("torchvision").models
    from safetensors import torch as safetensors_torch

    ours, file = _trained(name), tmp_path / "model.safetensors"
    encoders.file.write(file, ours.params, ours.stats, ours.info, layout="torchvision")
    tensors = safetensors_torch.load_file(file)
    model = getattr(models, name)()
    missing = model.load_state_dict(tensors, strict=False)
    assert missing.missing_keys == ["fc.weight", "fc.bias"] and not missing.unexpected_keys
    model.fc = torch.nn.Identity()
    makers = {"torchvision": model, "timm": _timm(name, tensors)}
    images = small_encoders.images(4, (SIDE, SIDE, 3))
    inputs = torch.from_numpy(np.asarray(ours.view(images)).transpose(0, 3, 1, 2).copy())
    got = ours(images)
    for library, theirs in makers.items():
        if theirs is None:
            continue
        with torch.no_grad():
            want = theirs.eval()(inputs).numpy()
        deviation = np.abs(got - want).max() / np.abs(want).max()
        print(f"{name} in {library}: {deviation:.1e} of the largest feature, 1e-4 allowed")
        assert deviation < 1e-4
    jax.tree.map(np.testing.assert_array_equal, encoders.load(file).params, ours.params)


def _timm(name, tensors):
    try:
        import timm
    except ImportError:
        return None
    model = timm.create_model(name, num_classes=0)
    model.load_state_dict(tensors)
    return model


@recorded.kind("torchvision_resnet")
def test_torchvisions_arrays_give_its_recorded_features(file):
    trace = recorded.load(file)
    meta = trace.meta
    named_shapes = zip(meta["state_dict_names"], meta["state_dict_shapes"], strict=True)
    tensors = {
        name: recorded_names.torchvision_weight(meta, number, name, shape)
        for number, (name, shape) in enumerate(named_shapes)
    }
    backbone = {name: x for name, x in tensors.items() if not name.startswith("fc.")}
    params, stats = layout.from_torchvision(backbone)
    net = networks.resnet(**layout.architecture(params), padding="torch")
    images = trace.arrays["images"]
    got, _ = jax.jit(net.apply, static_argnames="train")(params, stats, images, train=False)
    recorded.compare("eval/features", got, trace.arrays["eval/features"])
    again = layout.to_torchvision(params, stats)
    assert again.keys() == backbone.keys()
    for name, x in again.items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(x, backbone[name])
