"""What the authors' own code computed, read from reference/ (or BYOL_JAX_REFERENCE) in our names.

A file's `meta` holds every hyper-parameter; `init/…`, `batch/<i>/…`, `log/<i>/…` and `after/<i>/…`
are the arrays before the first step, into step i, and out of it.
"""

import functools
import json
import os
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from byol_jax import augment, train_step

LOSS, TENSOR = 1e-5, 1e-4  # allowed deviations, of the largest value
MOMENTUM = 5e-4  # a sum of gradients, which are small differences of large terms

FOLDER = pathlib.Path(
    os.environ.get("BYOL_JAX_REFERENCE", pathlib.Path(__file__).parent / "reference")
)


class Trace(NamedTuple):
    """One recording: its settings and its arrays by their path."""

    name: str
    meta: dict
    arrays: dict[str, np.ndarray]

    def under(self, path: str) -> dict[str, np.ndarray]:
        """The arrays below `path`, which ends in the separator, by the rest of their names."""
        return {k.removeprefix(path): x for k, x in self.arrays.items() if k.startswith(path)}


def files(kind: str) -> list[pathlib.Path]:
    """Every recording of a kind; there must be one."""
    found = sorted(FOLDER.glob(f"{kind}*.npz"))
    assert found, f"no {kind}*.npz in {FOLDER}"
    return found


def load(file: pathlib.Path) -> Trace:
    """Reads a recording."""
    with np.load(file) as arrays:
        everything = {name: arrays[name] for name in arrays.files}
    return Trace(file.stem, json.loads(str(everything.pop("meta"))), everything)


def num_devices() -> int:
    """The most devices that any recording was made on."""
    return max(load(file).meta.get("devices", 1) for file in FOLDER.glob("*.npz"))


_HAIKU = {"w": "kernel", "b": "bias", "offset": "bias", "scale": "scale"}
_HAIKU_PARTS = {
    "initial_conv": "stem_conv",
    "initial_batchnorm": "stem_bn",
    "shortcut_batchnorm": "shortcut_bn",
    "linear": "dense1",
    "linear_1": "dense2",
    "batch_norm": "bn1",
    "mean_ema": "mean",
    "var_ema": "var",
}


def from_haiku(arrays: dict[str, np.ndarray]) -> dict:
    """Params, or statistics, of BYOL's networks by name: encoder, projector, …

    Of Haiku's statistics the plain average counts, `hidden`, which starts at 0.
    """
    tree = {}
    for name, x in arrays.items():
        net, *parts, leaf = name.replace("/~", "").split("/")
        if leaf in ("average", "counter"):
            continue
        place = [net if net in ("projector", "predictor", "classifier") else "encoder"]
        place += _haiku_place(parts)
        if leaf != "hidden":
            place.append(_HAIKU[leaf])
        _put(tree, place, x.reshape(-1) if _is_vector(place[-1]) else x)
    return tree


def _haiku_place(parts):
    if len(parts) > 1 and parts[1].startswith("block_") and parts[0].startswith("block_group_"):
        stage, block = int(parts[0].split("_")[-1]), int(parts[1].split("_")[-1])
        return [f"stage{stage + 1}_block{block + 1}", *(_haiku_layer(p) for p in parts[2:])]
    return [_haiku_layer(p) for p in parts]


def _haiku_layer(part):
    kind, _, number = part.rpartition("_")
    if kind in ("conv", "batchnorm") and number.isdigit():
        return f"{'conv' if kind == 'conv' else 'bn'}{int(number) + 1}"
    return _HAIKU_PARTS.get(part, part)


def _is_vector(leaf):
    return leaf in ("bias", "scale", "mean", "var")


def from_torch(arrays: dict[str, np.ndarray]) -> tuple[dict, dict]:
    """Params and statistics of a torchvision ResNet: encoder, and projector for its last layers."""
    params, stats = {}, {}
    for name, x in arrays.items():
        if name.endswith("num_batches_tracked"):
            continue
        place = _torch_place(name, is_norm=_is_norm(name, arrays))
        x = x.transpose(2, 3, 1, 0) if x.ndim == 4 else x.T
        _put(stats if place[-1] in ("mean", "var") else params, place, x)
    stats.setdefault("projector", {})
    return params, stats


def _is_norm(name, arrays):
    return name.rpartition(".")[0] + ".running_mean" in arrays


def _torch_place(name, *, is_norm):
    *path, leaf = name.split(".")
    weight = "scale" if is_norm else "kernel"
    leaf = {"weight": weight, "running_mean": "mean", "running_var": "var"}.get(leaf, leaf)
    if path[0] == "fc":
        return ["projector", f"dense{int(path[1]) // 2 + 1 if path[1:] else 1}", leaf]
    if len(path) == 1:
        return ["encoder", f"stem_{path[0].removesuffix('1')}", leaf]
    block = f"stage{path[0][-1]}_block{int(path[1]) + 1}"
    layer = {"0": "shortcut_conv", "1": "shortcut_bn"}.get(path[-1], path[-1])
    return ["encoder", block, layer, leaf]


def _put(tree, place, x):
    for part in place[:-1]:
        tree = tree.setdefault(part, {})
    assert place[-1] not in tree, place
    tree[place[-1]] = x


def sizes(encoder: dict) -> dict:
    """The arguments of networks.resnet that the shapes of its params tell."""
    blocks = sorted(name for name in encoder if name.startswith("stage"))
    stages = [0] * max(int(name[5 : name.index("_")]) for name in blocks)
    for name in blocks:
        stages[int(name[5 : name.index("_")]) - 1] += 1
    widths = [
        encoder[f"stage{i + 1}_block1"]["conv1"]["kernel"].shape[-1] for i in range(len(stages))
    ]
    stem_width = encoder["stem_conv"]["kernel"].shape[-1]
    return {"stages": tuple(stages), "widths": tuple(widths), "stem_width": stem_width}


def torchvision_weight(meta, number, name, shape):
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


# Operations on images


_CORES = {
    "brightness": lambda p: functools.partial(augment.add_brightness, delta=float(p)),
    "contrast": lambda p: functools.partial(augment.contrast, factor=float(p)),
    "saturation": lambda p: functools.partial(augment.saturation, factor=float(p)),
    "hue": lambda p: functools.partial(augment.hue, delta=float(p)),
    "grayscale": lambda p: augment.grayscale,
    "hflip": lambda p: augment.flip,
    "solarize": lambda p: functools.partial(augment.solarize, threshold=float(p)),
}


def changed(name):
    """(images, key, what the authors' code made of them) for all files of a kind."""
    for file in files(name):
        arrays = load(file).arrays
        images = jnp.asarray(arrays.pop("images"))
        yield from ((images, key, wanted) for key, wanted in arrays.items())


def operation(key, size):
    """Our function of one image [size, size, C] for a key such as byol_hue/0.1 or tv_blur23/1.5."""
    (code, _, rest) = key.partition("_")
    name, _, parameter = rest.partition("/")
    if code == "tv":
        return _torchvision(name, parameter)
    if name == "blur":
        taps = 2 * int(size / 10 / 2) + 1
        return functools.partial(augment.blur, sigma=float(parameter), kernel_size=taps)
    return _CORES[name](parameter)


def _torchvision(name, parameter):
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


# Training


def kind(name):
    """Runs a test on every recording of a kind."""
    return pytest.mark.parametrize("file", files(name), ids=lambda file: file.stem)


def compare(what, got, want, tolerance=TENSOR, *, scale=0.0):
    """Holds every array of a tree to `tolerance` of its largest value, or of `scale` if larger.

    Prints the largest deviation of the tree.
    """
    assert jax.tree.structure(got) == jax.tree.structure(want), what
    worst = 0.0
    leaves, _ = jax.tree_util.tree_flatten_with_path(want)
    for (path, x), y in zip(leaves, jax.tree.leaves(got), strict=True):
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        assert x.shape == y.shape, (what, path)
        deviation = np.abs(x - y).max() / max(np.abs(x).max(), scale, 1e-30)
        assert deviation <= tolerance, (what, jax.tree_util.keystr(path), deviation)
        worst = max(worst, deviation)
    print(f"{what}: {worst:.1e} of the largest value, {tolerance:.0e} allowed")


def run(trace, make, state, batch_of, after):
    """Trains through the engine on as many devices as the recording; after(i, state, metrics).

    make(batch) -> the step's function; a draw that was recorded comes in the batch.
    """
    devices = jax.devices()[: trace.meta["devices"]]
    everywhere = NamedSharding(Mesh(devices, train_step.AXIS), PartitionSpec())
    step = train_step.parallel(lambda state, batch: make(batch)(state, batch), devices=devices)
    state = jax.device_put(state, everywhere)
    for i in range(trace.meta["steps"]):
        state, metrics = step(state, batch_of(i))
        after(i, jax.device_get(state), jax.device_get(metrics))


def _deal(x, devices):
    return x.reshape(devices, -1, *x.shape[1:])


def batch(trace, i, views, label=None, **draws):
    """Two recorded views as one array of images, dealt over the devices; draws go to all of them."""
    devices = trace.meta["devices"]
    arrays = [trace.arrays[f"batch/{i}/{view}"] for view in views]
    size = len(arrays[0])
    label = trace.arrays[f"batch/{i}/{label}"] if label else np.zeros(size)
    batch = {"image": np.stack(arrays, 1), "label": label.astype(np.int32)}
    batch["index"] = np.arange(size, dtype=np.int32)
    dealt = {name: _deal(x, devices) for name, x in batch.items()}
    return {**dealt, **{name: np.stack([x] * devices) for name, x in draws.items()}}
