"""Converts the authors' names of parameters and statistics to the names of this package."""

import numpy as np

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
    """Converts parameters or statistics of BYOL's networks to a tree: encoder, projector, …

    Haiku stores three values per statistic. The tree gets `hidden`, the average that starts at 0.
    """
    tree = {}
    for name, x in arrays.items():
        net, *parts, leaf = name.replace("/~", "").split("/")
        if leaf in ("average", "counter"):
            continue
        path = [net if net in ("projector", "predictor", "classifier") else "encoder"]
        path += _haiku_path(parts)
        if leaf != "hidden":
            path.append(_HAIKU[leaf])
        _put(tree, path, x.reshape(-1) if _is_vector(path[-1]) else x)
    return tree


def _haiku_path(parts):
    if len(parts) > 1 and parts[1].startswith("block_") and parts[0].startswith("block_group_"):
        stage = int(parts[0].split("_")[-1])
        block = int(parts[1].split("_")[-1])
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
    """Converts a torchvision ResNet to parameters and statistics: encoder, and projector for fc."""
    params = {}
    stats = {}
    for name, x in arrays.items():
        if name.endswith("num_batches_tracked"):
            continue
        path = _torch_path(name, is_norm=_is_norm(name, arrays))
        x = x.transpose(2, 3, 1, 0) if x.ndim == 4 else x.T
        _put(stats if path[-1] in ("mean", "var") else params, path, x)
    stats.setdefault("projector", {})
    return params, stats


def _is_norm(name, arrays):
    return name.rpartition(".")[0] + ".running_mean" in arrays


def _torch_path(name, *, is_norm):
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


def _put(tree, path, x):
    *parents, leaf = path
    for part in parents:
        tree = tree.setdefault(part, {})
    assert leaf not in tree, path
    tree[leaf] = x


def sizes(encoder: dict) -> dict:
    """Returns the arguments of networks.resnet that follow from the shapes of its parameters."""
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
    """Returns tensor `number` of the state dict by the formula in meta["weights"]."""
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
