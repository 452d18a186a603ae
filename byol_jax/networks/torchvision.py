"""torchvision's names and layout of a ResNet, which timm, MoCo and most others share.

There a convolution's weight is [out, in, H, W] and blocks count from 0: `layer1.0.conv1.weight` is
our `stage1_block1/conv1/kernel`. See torchvision/models/resnet.py.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import chex
import numpy as np

from byol_jax import errors

_KERNELS = {"imagenet": 7, "cifar": 3}
_STATS = {"mean": "running_mean", "var": "running_var"}
_BLOCK = re.compile(r"stage([1-9]\d{0,5})_block([1-9]\d{0,5})")
_NAME = re.compile(
    r"(?:layer([1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.)?(?:(conv|bn)([1-3])|downsample\.([01]))\."
    r"(weight|bias|running_mean|running_var|num_batches_tracked)"
)


def to_torchvision(params: chex.ArrayTree, stats: chex.ArrayTree) -> dict[str, np.ndarray]:
    """The state dict of torchvision's ResNet without its classifier, in its order.

    params, stats: of an encoder that networks.resnet made, with batch norm.

    Raises ValueError where they are another network's.
    """
    architecture(params, stats)
    tensors = {}
    for place in _layers(params):
        node, name = _at(params, place), _theirs(place)
        if "kernel" in node:
            tensors[f"{name}.weight"] = _float32(node["kernel"], (3, 2, 0, 1))
            continue
        moments = _at(stats, place)
        tensors[f"{name}.weight"] = _float32(node["scale"])
        tensors[f"{name}.bias"] = _float32(node["bias"])
        tensors |= {f"{name}.{theirs}": _float32(moments[ours]) for ours, theirs in _STATS.items()}
        tensors[f"{name}.num_batches_tracked"] = np.zeros((), np.int64)
    return tensors


def from_torchvision(
    tensors: Mapping[str, np.ndarray],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(params, stats), float32, of such a state dict: the inverse of to_torchvision, bit for bit.

    Raises ValueError naming the tensors that are too many, too few, or of another shape, as those
    of a ResNeXt, a deep stem or another network are; its classifier (`fc.`) is one of them.
    """
    params, stats, unknown = {}, {}, []
    for name, x in tensors.items():
        place = _ours(name)
        if place is None or x.ndim not in (0, 1, 4) or x.dtype.kind not in "fiu":
            unknown.append(name)
        elif place[-1] != "num_batches_tracked":
            tree = stats if place[-1] in _STATS else params
            x = _float32(x, (2, 3, 1, 0) if x.ndim == 4 else None)
            _at(tree, place[:-1], make=True)[place[-1]] = x
    if unknown:
        raise errors.UserError(
            f"{_some(unknown)} {'are' if len(unknown) > 1 else 'is'} not of a torchvision ResNet, "
            "whose names are as conv1.weight and layer1.0.bn1.running_mean; give its state dict, "
            "without the classifier."
        )
    _check(params, stats, spell=_spell)
    return params, stats


def architecture(params: chex.ArrayTree, stats: chex.ArrayTree | None = None) -> dict[str, Any]:
    """The arguments of networks.resnet that make arrays of just these shapes.

    params: of an encoder, or their shapes; with stats, these are checked too.  A 3x3 stem is
    "cifar": by its shape it cannot be told from the "strided" one. Neither can the padding be told.

    Raises ValueError where no ResNet of ours has these shapes: grouped convolutions, a deep stem.
    """
    return _check(params, stats, spell="/".join)


def _check(params, stats, *, spell):
    """The architecture; raises ValueError by the names that `spell` makes of places."""
    told = _told(params, spell)
    wanted = _shapes(told, params["stem_conv"]["kernel"].shape[2])
    found = _leaf_shapes(params) | ({} if stats is None else _leaf_shapes(stats))
    if stats is None:
        wanted = {place: shape for place, shape in wanted.items() if place[-1] not in _STATS}
    wrong = [
        f"{spell(place)} ({_side(found, place)}, wanted {_side(wanted, place)})"
        for place in dict.fromkeys([*wanted, *found])
        if found.get(place) != wanted.get(place)
    ]
    if wrong:
        raise errors.UserError(
            f"these are not the arrays of a ResNet with {told['stages']} blocks: {_some(wrong)}; "
            "kernels are given as [H, W, in, out], and grouped convolutions (ResNeXt), "
            "deep stems and other blocks are not supported."
        )
    return told


def _told(params, spell) -> dict[str, Any]:
    """What the shapes of a few layers tell; whether all others agree is for _shapes."""
    try:
        firsts = [params[f"stage{s + 1}_block1"] for s in range(len(_stages(params)))]
        bottleneck = "conv3" in firsts[0]
        last = "conv3" if bottleneck else "conv2"
        outs = [block[last]["kernel"].shape[-1] for block in firsts]
        widths = tuple(out // 4 if bottleneck else out for out in outs)
        inner = firsts[0]["conv1"]["kernel"].shape[-1] / widths[0] if bottleneck else 1
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
        first = spell(("stem_conv", "kernel")), spell(("stage1_block1", "conv1", "kernel"))
        raise errors.UserError(
            f"these are not the arrays of a ResNet with a stem of 7x7 or 3x3: {' or '.join(first)} "
            f"is missing, or has another shape ({type(error).__name__}: {error})."
        ) from error
    return {
        "stages": _stages(params),
        "bottleneck": bottleneck,
        "widths": widths,
        "stem_width": stem_width,
        "inner_width": int(inner) if inner == int(inner) else inner,
        "stem": stem,
        "always_project": "shortcut_conv" in firsts[0] and outs[0] == stem_width,
    }


def _stages(params) -> tuple[int, ...]:
    """Blocks in each stage, of those that count on from 1."""
    numbers = [m.groups() for m in map(_BLOCK.fullmatch, params) if m]
    stages = sorted({int(stage) for stage, _ in numbers})
    return tuple(sum(int(stage) == s for stage, _ in numbers) for s in stages)


def _shapes(told, channels) -> dict[tuple[str, ...], tuple[int, ...]]:
    """The shape of every array of the network that `told` describes, by its place."""
    size, entering = _KERNELS[told["stem"]], told["stem_width"]
    shapes = _layer("stem_", "", (size, size, channels, entering))
    for stage, (blocks, width) in enumerate(zip(told["stages"], told["widths"], strict=True)):
        inner = int(width * told["inner_width"])
        layers = [(width, 3), (width, 3)]
        if told["bottleneck"]:
            layers = [(inner, 1), (inner, 3), (4 * width, 1)]
        out = layers[-1][0]
        for i in range(blocks):
            block, before = f"stage{stage + 1}_block{i + 1}", entering
            for number, (features, size) in enumerate(layers, start=1):
                shapes |= _layer("", str(number), (size, size, entering, features), block)
                entering = features
            if i == 0 and (stage > 0 or told["always_project"] or before != out):
                shapes |= _layer("shortcut_", "", (1, 1, before, out), block)
    return shapes


def _layer(before, after, shape, *block):
    norm = (*block, f"{before}bn{after}")
    leaves = ("scale", "bias", *_STATS)
    convolution = {(*block, f"{before}conv{after}", "kernel"): shape}
    return convolution | {(*norm, leaf): shape[-1:] for leaf in leaves}


def _layers(params) -> Iterator[tuple[str, ...]]:
    """Places of layers, in torchvision's order, which is neither ours nor that of the alphabet."""
    yield from (("stem_conv",), ("stem_bn",))
    for block in sorted(params.keys() - {"stem_conv", "stem_bn"}, key=_numbers):
        kinds = [f"{kind}{i}" for i in (1, 2, 3) for kind in ("conv", "bn")]
        kinds += ["shortcut_conv", "shortcut_bn"]
        yield from ((block, kind) for kind in kinds if kind in params[block])


def _numbers(block):
    return tuple(map(int, _BLOCK.fullmatch(block).groups()))


def _theirs(place) -> str:
    """torchvision's name of a layer."""
    if len(place) == 1:
        return {"stem_conv": "conv1", "stem_bn": "bn1"}[place[0]]
    stage, block = _numbers(place[0])
    layer = {"shortcut_conv": "downsample.0", "shortcut_bn": "downsample.1"}.get(place[1], place[1])
    return f"layer{stage}.{block - 1}.{layer}"


def _ours(name) -> tuple[str, ...] | None:
    """The place of a tensor, or None."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    stage, block, kind, number, shortcut, leaf = match.groups()
    is_norm = kind == "bn" or shortcut == "1"
    leaf = {"weight": "scale" if is_norm else "kernel"}.get(leaf, leaf)
    leaf = {theirs: ours for ours, theirs in _STATS.items()}.get(leaf, leaf)
    if not is_norm and leaf != "kernel":
        return None
    if stage is None:
        return (f"stem_{kind}", leaf) if number == "1" else None
    layer = f"{kind}{number}" if kind else ("shortcut_conv", "shortcut_bn")[int(shortcut)]
    return f"stage{int(stage)}_block{int(block) + 1}", layer, leaf


def _spell(place) -> str:
    """torchvision's name of an array of ours."""
    leaf = {"kernel": "weight", "scale": "weight", **_STATS}.get(place[-1], place[-1])
    return f"{_theirs(place[:-1])}.{leaf}"


def _at(tree, place, *, make=False):
    for part in place:
        tree = tree.setdefault(part, {}) if make else tree[part]
    return tree


def _leaf_shapes(tree, place=()) -> dict[tuple[str, ...], tuple[int, ...]]:
    if not isinstance(tree, Mapping):
        return {place: tuple(tree.shape)}
    return {k: v for name in tree for k, v in _leaf_shapes(tree[name], (*place, name)).items()}


def _float32(x, order=None) -> np.ndarray:
    x = np.asarray(x, np.float32)
    return np.asarray(x if order is None else x.transpose(order), order="C")


def _side(shapes, place) -> str:
    return str(list(shapes[place])) if place in shapes else "none"


def _some(names) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(str, names[:5])) + more
