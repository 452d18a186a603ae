"""Converts weights between our ResNets and torchvision's; timm and MoCo use torchvision's names.

torchvision stores a convolution's weight as [out, in, H, W] and counts blocks from 0. Its
`layer1.0.conv1.weight` is our `stage1_block1/conv1/kernel`. See torchvision/models/resnet.py.

A path is the tuple of keys that leads to an array or a layer of our pytrees.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from byol_jax import errors

Path = tuple[str, ...]

_KERNELS = {"imagenet": 7, "cifar": 3}
_STATS = {"mean": "running_mean", "var": "running_var"}
_BLOCK = re.compile(r"stage([1-9]\d{0,5})_block([1-9]\d{0,5})")
_NAME = re.compile(
    r"(?:layer([1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.)?(?:(conv|bn)([1-3])|downsample\.([01]))\."
    r"(weight|bias|running_mean|running_var|num_batches_tracked)"
)


def to_torchvision(params: Any, stats: Any) -> dict[str, np.ndarray]:
    """Converts the weights of a ResNet to the state dict of torchvision's ResNet.

    Args:
        params: Parameters of an encoder that networks.resnet created, with batch norm.
        stats: Its batch-norm statistics.

    Returns:
        The tensors by name, in torchvision's order, without the classifier.

    Raises:
        UserError: The arrays are not those of a ResNet.
    """
    architecture(params, stats)
    tensors = {}
    for path in _layer_paths(params):
        layer = _get(params, path)
        name = _torchvision_layer(path)
        if "kernel" in layer:
            tensors[f"{name}.weight"] = _float32(layer["kernel"], (3, 2, 0, 1))
            continue
        moments = _get(stats, path)
        tensors[f"{name}.weight"] = _float32(layer["scale"])
        tensors[f"{name}.bias"] = _float32(layer["bias"])
        for leaf, tensor in _STATS.items():
            tensors[f"{name}.{tensor}"] = _float32(moments[leaf])
        tensors[f"{name}.num_batches_tracked"] = np.zeros((), np.int64)
    return tensors


def from_torchvision(
    tensors: Mapping[str, np.ndarray],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Converts the state dict of torchvision's ResNet to the weights of our ResNet.

    This is the inverse of to_torchvision, exact to the bit.

    Args:
        tensors: Tensors by name, without the classifier (`fc.`).

    Returns:
        Parameters and batch-norm statistics, float32.

    Raises:
        UserError: Tensors are missing, unknown or of another shape, such as those of a ResNeXt, of
            a deep stem or of a classifier. The message names them.
    """
    params = {}
    stats = {}
    unknown = []
    for name, x in tensors.items():
        path = _array_path(name)
        if path is None or x.ndim not in (0, 1, 4) or x.dtype.kind not in "fiu":
            unknown.append(name)
        elif path[-1] != "num_batches_tracked":
            tree = stats if path[-1] in _STATS else params
            x = _float32(x, (2, 3, 1, 0) if x.ndim == 4 else None)
            _set(tree, path, x)
    if unknown:
        names = _list_some(unknown)
        raise errors.UserError(
            f"these tensors do not belong to a torchvision ResNet: {names}. Give the state dict of "
            "a torchvision ResNet, with names such as layer1.0.bn1.running_mean, and without the "
            "classifier."
        )
    _check(params, stats, format_path=_torchvision_array)
    return params, stats


def architecture(params: Any, stats: Any | None = None) -> dict[str, Any]:
    """Infers the arguments of networks.resnet from the shapes of a network's arrays.

    The shapes do not show the padding, and do not distinguish the stems "cifar" and "strided": the
    result for a 3x3 stem is "cifar".

    Args:
        params: Parameters of an encoder, arrays or their shapes.
        stats: Its batch-norm statistics, to be checked too; None skips them.

    Returns:
        The arguments by name.

    Raises:
        UserError: No ResNet of this package has these shapes, for example because of grouped
            convolutions or a deep stem.
    """
    return _check(params, stats, format_path="/".join)


def _check(params, stats, *, format_path: Callable[[Path], str]) -> dict[str, Any]:
    """Infers the architecture and checks all arrays; the error lists those that do not match."""
    arguments = _infer(params, format_path)
    expected = _shapes(arguments, params["stem_conv"]["kernel"].shape[2])
    actual = _leaf_shapes(params) | ({} if stats is None else _leaf_shapes(stats))
    if stats is None:
        expected = {path: shape for path, shape in expected.items() if path[-1] not in _STATS}
    wrong = [
        f"{format_path(path)} ({_format_shape(actual, path)}, expected "
        f"{_format_shape(expected, path)})"
        for path in dict.fromkeys([*expected, *actual])
        if actual.get(path) != expected.get(path)
    ]
    if wrong:
        stages = arguments["stages"]
        arrays = _list_some(wrong)
        raise errors.UserError(
            f"these arrays do not belong to a ResNet with {stages} blocks: {arrays}. The shape of "
            "a kernel is [H, W, in, out]; grouped convolutions (ResNeXt), deep stems and other "
            "blocks are not supported."
        )
    return arguments


def _infer(params, format_path: Callable[[Path], str]) -> dict[str, Any]:
    """Infers the architecture from a few layers; _check compares the remaining layers with it."""
    try:
        first_blocks = [params[f"stage{s + 1}_block1"] for s in range(len(_stages(params)))]
        bottleneck = "conv3" in first_blocks[0]
        last = "conv3" if bottleneck else "conv2"
        outs = [block[last]["kernel"].shape[-1] for block in first_blocks]
        widths = tuple(out // 4 if bottleneck else out for out in outs)
        inner = first_blocks[0]["conv1"]["kernel"].shape[-1] / widths[0] if bottleneck else 1
        height, _, _, stem_width = params["stem_conv"]["kernel"].shape
        stem = {size: name for name, size in _KERNELS.items()}[height]
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        ZeroDivisionError,
    ) as error:
        stem_path = format_path(("stem_conv", "kernel"))
        block_path = format_path(("stage1_block1", "conv1", "kernel"))
        cause = f"{type(error).__name__}: {error}"
        raise errors.UserError(
            "these are not the arrays of a ResNet with a stem of 7x7 or 3x3: "
            f"{stem_path} or {block_path} is missing or has another shape ({cause})."
        ) from error
    return {
        "stages": _stages(params),
        "bottleneck": bottleneck,
        "widths": widths,
        "stem_width": stem_width,
        "inner_width": int(inner) if inner == int(inner) else inner,
        "stem": stem,
        "always_project": "shortcut_conv" in first_blocks[0] and outs[0] == stem_width,
    }


def _stages(params) -> tuple[int, ...]:
    """Returns the number of blocks in each stage."""
    numbers = [m.groups() for m in map(_BLOCK.fullmatch, params) if m]
    stages = sorted({int(stage) for stage, _ in numbers})
    return tuple(sum(int(stage) == s for stage, _ in numbers) for s in stages)


def _shapes(arguments, channels) -> dict[Path, tuple[int, ...]]:
    """Returns the shape of every array of the ResNet that the given arguments describe."""
    size = _KERNELS[arguments["stem"]]
    num_inputs = arguments["stem_width"]
    shapes = _layer_shapes("stem_", "", (size, size, channels, num_inputs))
    stages = zip(arguments["stages"], arguments["widths"], strict=True)
    for stage, (blocks, width) in enumerate(stages):
        inner = int(width * arguments["inner_width"])
        layers = [(width, 3), (width, 3)]
        if arguments["bottleneck"]:
            layers = [(inner, 1), (inner, 3), (4 * width, 1)]
        out = layers[-1][0]
        for i in range(blocks):
            block = f"stage{stage + 1}_block{i + 1}"
            block_inputs = num_inputs
            for number, (features, size) in enumerate(layers, start=1):
                shapes |= _layer_shapes("", str(number), (size, size, num_inputs, features), block)
                num_inputs = features
            projects = stage > 0 or arguments["always_project"] or block_inputs != out
            if i == 0 and projects:
                shapes |= _layer_shapes("shortcut_", "", (1, 1, block_inputs, out), block)
    return shapes


def _layer_shapes(prefix, suffix, shape, *block) -> dict[Path, tuple[int, ...]]:
    """Returns the shapes of a convolution and of the batch norm after it."""
    norm = (*block, f"{prefix}bn{suffix}")
    leaves = ("scale", "bias", *_STATS)
    convolution = {(*block, f"{prefix}conv{suffix}", "kernel"): shape}
    return convolution | {(*norm, leaf): shape[-1:] for leaf in leaves}


def _layer_paths(params) -> Iterator[Path]:
    """Yields the paths of all layers in torchvision's order."""
    yield from (("stem_conv",), ("stem_bn",))
    for block in sorted(params.keys() - {"stem_conv", "stem_bn"}, key=_block_numbers):
        kinds = [f"{kind}{i}" for i in (1, 2, 3) for kind in ("conv", "bn")]
        kinds += ["shortcut_conv", "shortcut_bn"]
        yield from ((block, kind) for kind in kinds if kind in params[block])


def _block_numbers(block: str) -> tuple[int, ...]:
    match = _BLOCK.fullmatch(block)
    if match is None:
        raise ValueError(f"{block!r} is not the name of a block.")
    return tuple(map(int, match.groups()))


def _torchvision_layer(path: Path) -> str:
    """Returns the name that torchvision gives to a layer of our ResNet."""
    if len(path) == 1:
        return {"stem_conv": "conv1", "stem_bn": "bn1"}[path[0]]
    stage, block = _block_numbers(path[0])
    shortcuts = {"shortcut_conv": "downsample.0", "shortcut_bn": "downsample.1"}
    layer = shortcuts.get(path[1], path[1])
    return f"layer{stage}.{block - 1}.{layer}"


def _torchvision_array(path: Path) -> str:
    """Returns the name that torchvision gives to an array of our ResNet."""
    leaf = {"kernel": "weight", "scale": "weight", **_STATS}.get(path[-1], path[-1])
    return f"{_torchvision_layer(path[:-1])}.{leaf}"


def _array_path(name: str) -> Path | None:
    """Returns the path in our ResNet for a torchvision tensor name; None for an unknown name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    stage, block, kind, number, shortcut, leaf = match.groups()
    is_norm = kind == "bn" or shortcut == "1"
    leaf = {"weight": "scale" if is_norm else "kernel"}.get(leaf, leaf)
    leaf = {tensor: ours for ours, tensor in _STATS.items()}.get(leaf, leaf)
    if not is_norm and leaf != "kernel":
        return None
    if stage is None:
        return (f"stem_{kind}", leaf) if number == "1" else None
    layer = f"{kind}{number}" if kind else ("shortcut_conv", "shortcut_bn")[int(shortcut)]
    return f"stage{int(stage)}_block{int(block) + 1}", layer, leaf


def _get(tree, path: Path):
    for key in path:
        tree = tree[key]
    return tree


def _set(tree, path: Path, value) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value


def _leaf_shapes(tree, path: Path = ()) -> dict[Path, tuple[int, ...]]:
    if not isinstance(tree, Mapping):
        return {path: tuple(tree.shape)}
    return {k: v for name in tree for k, v in _leaf_shapes(tree[name], (*path, name)).items()}


def _float32(x, order=None) -> np.ndarray:
    x = np.asarray(x, np.float32)
    return np.asarray(x if order is None else x.transpose(order), order="C")


def _format_shape(shapes, path: Path) -> str:
    return str(list(shapes[path])) if path in shapes else "none"


def _list_some(names: Sequence[str]) -> str:
    suffix = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(str, names[:5])) + suffix
