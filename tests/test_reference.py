"""The numbers that the authors' own code computed, recorded in reference/, against ours."""

import functools
import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from byol_jax import augment, networks

FOLDER = pathlib.Path(
    os.environ.get("BYOL_JAX_REFERENCE", pathlib.Path(__file__).parent / "reference")
)
_CORES = {
    "brightness": lambda p: functools.partial(augment.add_brightness, delta=float(p)),
    "contrast": lambda p: functools.partial(augment.contrast, factor=float(p)),
    "saturation": lambda p: functools.partial(augment.saturation, factor=float(p)),
    "hue": lambda p: functools.partial(augment.hue, delta=float(p)),
    "grayscale": lambda p: augment.grayscale,
    "hflip": lambda p: augment.flip,
    "solarize": lambda p: functools.partial(augment.solarize, threshold=float(p)),
}


def _files(kind):
    files = sorted(FOLDER.glob(f"{kind}*.npz"))
    assert files, f"no {kind}*.npz in {FOLDER}"
    return files


def _changed(kind):
    """(images, key, what the authors' code made of them) for all files of a kind."""
    for file in _files(kind):
        with np.load(file) as trace:
            for key in sorted(set(trace.files) - {"images", "meta"}):
                yield jnp.asarray(trace["images"]), key, trace[key]


def test_colors_and_blur_equal_byols_code():
    for images, key, wanted in _changed("augment_byol"):
        name, _, parameter = key.removeprefix("byol_").partition("/")
        if name == "blur":
            taps = 2 * int(images.shape[1] / 10 / 2) + 1
            core = functools.partial(augment.blur, sigma=float(parameter), kernel_size=taps)
        else:
            core = _CORES[name](parameter)
        np.testing.assert_allclose(jax.jit(jax.vmap(core))(images), wanted, atol=2e-5, err_msg=key)


def _torchvision_core(name, parameter):
    if name.startswith("resized_crop"):
        box, size = parameter.split("/")
        box, method = jnp.array([int(x) for x in box.split(",")]), name.split("_")[-1]
        how = {"size": int(size), "method": method, "antialias": True}
        return lambda image: augment.crop_and_resize(image, box, **how)
    if name.startswith("blur"):
        how = {"sigma": float(parameter), "kernel_size": int(name[6:]), "padding": "reflect"}
        return functools.partial(augment.blur, **how)
    if name == "brightness":
        return functools.partial(augment.scale_brightness, factor=float(parameter))
    flags = {"contrast": {"per_channel": False}, "saturation": {"hsv": False}}.get(name, {})
    return functools.partial(_CORES[name](parameter), **flags)


def test_operations_equal_torchvisions():
    for images, key, wanted in _changed("augment_torchvision"):
        core = _torchvision_core(*key.removeprefix("tv_").partition("/")[::2])
        ours = jnp.clip(jax.jit(jax.vmap(core))(images), 0.0, 1.0)
        np.testing.assert_allclose(ours, np.clip(wanted, 0, 1), atol=2e-5, err_msg=key)


def _weight(meta, number, name, shape):
    """Tensor `number` of the state dict, by the formula in meta["weights"]."""
    u = np.random.RandomState(1000 * meta["seed"] + number).uniform(-1, 1, shape)
    if name.endswith("running_var"):
        u = 1 + 0.4 * u
    elif name.endswith("running_mean"):
        u = 0.1 * u
    elif len(shape) == 1:
        u = 0.2 * u + name.endswith("weight")
    else:
        u = u * np.sqrt(6 / np.prod(shape[1:]))
    return u.astype(np.float32)


def _place(name):
    """Where a torchvision tensor lives here: layer2.0.bn1.weight -> stage2_block1, bn1, scale."""
    *path, leaf = name.split(".")
    block = f"stage{path[0][-1]}_block{int(path[1]) + 1}" if len(path) > 1 else None
    layer = {"0": "shortcut_conv", "1": "shortcut_bn"}.get(path[-1], path[-1])
    ours = {"weight": "scale", "running_mean": "mean", "running_var": "var"}.get(leaf, leaf)
    if "conv" in layer:
        ours = "kernel"
    path = (block, layer) if block else ({"conv1": "stem_conv", "bn1": "stem_bn"}[layer],)
    return (*path, ours)


def _from_torchvision(tensors):
    """Params and stats from torchvision's names; its last layer is left out."""
    params, stats = {}, {}
    for name, tensor in tensors.items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            continue
        *path, leaf = _place(name)
        node = stats if leaf in ("mean", "var") else params
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor
    return params, stats


@pytest.mark.parametrize("file", _files("torchvision_resnet"), ids=lambda file: file.stem)
def test_the_bottleneck_resnet_is_torchvisions(file):
    trace = np.load(file)
    meta = json.loads(str(trace["meta"]))
    names = zip(meta["state_dict_names"], meta["state_dict_shapes"], strict=True)
    tensors = {name: _weight(meta, t, name, shape) for t, (name, shape) in enumerate(names)}
    params, stats = _from_torchvision(tensors)
    norm = functools.partial(networks.BatchNorm, unbiased=True)
    inner_width = meta["width_per_group"] / 64
    net = networks.resnet(
        meta["layers"], bottleneck=True, inner_width=inner_width, batch_norm=norm, padding="torch"
    )
    apply = jax.jit(net.apply, static_argnames="train")
    got, _ = apply(params, stats, trace["images"], train=False)
    np.testing.assert_allclose(got, trace["eval/features"], rtol=1e-4, atol=1e-5)
    got, moved = apply(params, stats, trace["images"], train=True)
    np.testing.assert_allclose(got, trace["train/features"], rtol=1e-4, atol=1e-5)
    after = {k.removeprefix("after_train/"): trace[k] for k in trace if k.startswith("after")}
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        moved,
        _from_torchvision(after)[1],
    )
