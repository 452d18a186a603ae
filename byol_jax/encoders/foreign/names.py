"""Converts the encoders of other projects; the names of the arrays identify the project."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from byol_jax import errors
from byol_jax.augment import color
from byol_jax.encoders.foreign import haiku, simclr, tensors
from byol_jax.networks import torchvision


class Foreign(NamedTuple):
    """An encoder that another project trained, converted for this package.

    Attributes:
        params: The parameters, as networks.resnet uses them, float32.
        stats: The batch-norm statistics, as networks.resnet uses them, float32.
        encoder: The config section that builds the network: "name" and the arguments.
        view: The preprocessing of the other project, as arguments of augment.evaluation_view.
        image_size: The shorter side in pixels of the images before preprocessing.
        kind: The format of the weights: torchvision, moco, mocov3, simclr or byol.
    """

    params: dict[str, Any]
    stats: dict[str, Any]
    encoder: dict[str, Any]
    view: dict[str, Any]
    image_size: int
    kind: str


_PADDINGS = {"simclr": "fixed", "byol": "same"}  # all others: "torch"
_CUBIC = {"method": "bicubic", "antialias": False}
_LINEAR = {"method": "bilinear", "antialias": True}
_NORMALIZATIONS = {
    "imagenet": {"mean": list(color.IMAGENET_MEAN), "std": list(color.IMAGENET_STD)},
    "cifar": {"mean": list(color.CIFAR_MEAN), "std": list(color.CIFAR_STD)},
}

_WRAPPERS = (
    "state_dict",
    "model",
    "module",
    "encoder_q",
    "base_encoder",
    "backbone",
    "encoder",
    "resnet",
)
_HEADS = ("fc.", "classifier.", "head.")
_LISTED = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_FIRST_STAGES = ("layer1", "4")
_SUPPORTED = (
    "byol_jax reads ResNets with the array names of torchvision (torchvision, timm, MoCo v1 to v3, "
    "and others below backbone. or encoder.), SimCLR (base_model/conv2d/kernel) or BYOL "
    "(online_params/res_net50/~/initial_conv/w)"
)


def load(path: str | Path) -> Foreign:
    """Loads the encoder from a file of another project, without running code from the file.

    Args:
        path: A file of safetensors, numpy (.npz) or torch.save, or the prefix of a TensorFlow
            checkpoint.

    Returns:
        The converted encoder.

    Raises:
        FileNotFoundError: The file does not exist.
        UserError: The file is damaged, has another format, or contains no supported encoder.
        MissingExtra: The file is a TensorFlow checkpoint, but tensorflow is not installed.
    """
    named = tensors.read(path)
    with tensors.name_file_in_errors(path):
        return recognize(named)


def recognize(named: Mapping[str, np.ndarray]) -> Foreign:
    """Finds a supported encoder among named arrays, and converts it.

    Arrays of heads, target networks and optimizers are ignored.

    Args:
        named: Arrays by their names in another project.

    Returns:
        The converted encoder.

    Raises:
        UserError: The arrays contain no supported ResNet, or several.
    """
    if not named:
        raise errors.UserError(f"the file contains no arrays; {_SUPPORTED}.")
    for kind, module in (("byol", haiku), ("simclr", simclr)):
        if module.matches(named):
            params, stats = module.read(named)
            return _describe(kind, params, stats)
    prefix = _find_backbone(named)
    wrapper = prefix.removesuffix(".").rpartition(".")[-1]
    kind = {"encoder_q": "moco", "base_encoder": "mocov3"}.get(wrapper, "torchvision")
    backbone = {n.removeprefix(prefix): x for n, x in named.items() if n.startswith(prefix)}
    if "conv1.weight" not in backbone:
        backbone = dict(_name_listed_layers(backbone))
    backbone = {name: x for name, x in backbone.items() if not name.startswith(_HEADS)}
    params, stats = torchvision.from_torchvision(backbone)
    return _describe(kind, params, stats)


def _describe(kind, params, stats) -> Foreign:
    """Combines converted weights with their architecture and their authors' preprocessing."""
    architecture = torchvision.architecture(params, stats)
    is_small = architecture["stem"] == "cifar"  # networks with a small stem take small images
    view = {"size": 32} if is_small else {"size": 224, "proportion": 0.875}
    view |= _CUBIC if kind in _PADDINGS else _LINEAR
    if kind != "simclr" and params["stem_conv"]["kernel"].shape[2] == 3:
        view |= _NORMALIZATIONS["cifar" if is_small else "imagenet"]
    encoder = {"name": "resnet", **architecture, "padding": _PADDINGS.get(kind, "torch")}
    return Foreign(params, stats, encoder, view, 32 if is_small else 256, kind)


def _find_backbone(named) -> str:
    """Returns the part of the encoder's array names that comes before `conv1.weight`."""
    stem = re.compile(r"(?P<prefix>(?:\w+\.)*?)(?:conv1|0)\.weight")
    prefixes = []
    for match in map(stem.fullmatch, named):
        if match is None:
            continue
        prefix = match["prefix"]
        is_resnet = any(f"{prefix}{stage}.0.conv1.weight" in named for stage in _FIRST_STAGES)
        if is_resnet and all(word in _WRAPPERS for word in prefix.split(".")[:-1]):
            prefixes.append(prefix)
    if len(prefixes) != 1:
        count = len(prefixes)
        problem = f"the file contains {count} ResNets, with the prefixes {prefixes}, instead of one"
        if not prefixes:
            problem = _unknown_network(named)
        raise errors.UserError(f"{problem}; {_SUPPORTED}.")
    return prefixes[0]


def _unknown_network(named) -> str:
    examples = _join_some(named)
    kinds = {
        "a vision transformer": r"(.*\.)?(cls_token|blocks\.0\.attn\..*|encoder\.layers?\..*)",
        "a ResNet with a deep stem (resnet50-d)": r"(.*\.)?conv1\.0\.weight",
    }
    for kind, pattern in kinds.items():
        if any(re.fullmatch(pattern, name) for name in named):
            return f"the file contains the arrays of {kind}, such as {examples}"
    return f"the file contains arrays with unknown names, such as {examples}"


def _join_some(names: Iterable[str]) -> str:
    return ", ".join(list(names)[:5])


def _name_listed_layers(backbone) -> Iterator[tuple[str, np.ndarray]]:
    """Renames the arrays of lightly's nn.Sequential(*resnet.children()) as in torchvision."""
    for name, x in backbone.items():
        number, _, leaf = name.partition(".")
        yield f"{_LISTED.get(number, number)}.{leaf}", x
