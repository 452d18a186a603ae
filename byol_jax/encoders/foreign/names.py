"""Arrays by the names that other projects give them, as arrays of ours and how to use them."""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from byol_jax import errors
from byol_jax.augment import color
from byol_jax.encoders.foreign import haiku, simclr, tensors
from byol_jax.networks import torchvision


class Foreign(NamedTuple):
    """An encoder that was trained elsewhere.

    params, stats: as networks.resnet has them, float32.  encoder: the section of a config that
    makes the network.  view: the arguments of augment.evaluation_view by which its authors look at
    pictures, whose shorter side is image_size.  kind: torchvision, moco, mocov3, simclr or byol.
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
_NORMS = {
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
_UNDERSTOOD = (
    "understood are ResNets by torchvision's names (torchvision, timm, MoCo v1 to v3, and others "
    "below backbone. or encoder.), SimCLR's (base_model/conv2d/kernel) and BYOL's "
    "(online_params/res_net50/~/initial_conv/w)"
)


def load(path: str | os.PathLike) -> Foreign:
    """The encoder in a file of weights made elsewhere; nothing in the file is run.

    Raises as tensors.read and recognise do.
    """
    named = tensors.read(path)
    with tensors.reading(path):
        return recognise(named)


def recognise(named: Mapping[str, np.ndarray]) -> Foreign:
    """The encoder that these arrays are of; those of heads, targets and optimizers are left out.

    Raises ValueError, with some of the names, where they are no ResNet's that is understood.
    """
    if not named:
        raise errors.UserError(f"it holds no arrays; {_UNDERSTOOD}.")
    for kind, module in (("byol", haiku), ("simclr", simclr)):
        if module.is_of(named):
            return _foreign(kind, *module.read(named))
    prefix, wrapper = _backbone(named)
    kind = {"encoder_q": "moco", "base_encoder": "mocov3"}.get(wrapper, "torchvision")
    below = {n.removeprefix(prefix): x for n, x in named.items() if n.startswith(prefix)}
    if "conv1.weight" not in below:
        below = dict(_from_list(below))
    below = {name: x for name, x in below.items() if not name.startswith(_HEADS)}
    return _foreign(kind, *torchvision.from_torchvision(below))


def _foreign(kind, params, stats) -> Foreign:
    """How the authors use it: networks with a small stem are for small pictures."""
    told = torchvision.architecture(params, stats)
    is_small = told["stem"] == "cifar"
    view = {"size": 32} if is_small else {"size": 224, "proportion": 0.875}
    view |= _CUBIC if kind in _PADDINGS else _LINEAR
    if kind != "simclr" and params["stem_conv"]["kernel"].shape[2] == 3:
        view |= _NORMS["cifar" if is_small else "imagenet"]
    encoder = {"name": "resnet", **told, "padding": _PADDINGS.get(kind, "torch")}
    return Foreign(params, stats, encoder, view, 32 if is_small else 256, kind)


def _backbone(named) -> tuple[str, str]:
    """What precedes `conv1.weight` in the names of the one encoder, and the last word of it."""
    stem = re.compile(r"(?P<prefix>(?:\w+\.)*?)(?:conv1|0)\.weight")
    found = []
    for match in map(stem.fullmatch, named):
        prefix = match["prefix"] if match else None
        is_resnet = match and any(f"{prefix}{layer}.0.conv1.weight" in named for layer in _FIRST)
        if is_resnet and all(word in _WRAPPERS for word in prefix.split(".")[:-1]):
            found.append(prefix)
    if len(found) != 1:
        many = (
            f"it has {len(found)} ResNets, {found}, and one is wanted" if found else _unknown(named)
        )
        raise errors.UserError(f"{many}; {_UNDERSTOOD}.")
    return found[0], found[0].removesuffix(".").rpartition(".")[-1]


_FIRST = ("layer1", "4")


def _unknown(named) -> str:
    kinds = {
        "a vision transformer": r"(.*\.)?(cls_token|blocks\.0\.attn\..*|encoder\.layers?\..*)",
        "a ResNet with a deep stem (resnet50-d)": r"(.*\.)?conv1\.0\.weight",
    }
    for kind, pattern in kinds.items():
        if any(re.fullmatch(pattern, name) for name in named):
            return f"these are the arrays of {kind}, such as {_some(named)}"
    return f"these names are not known: {_some(named)}"


def _some(names: Iterable[str]) -> str:
    return ", ".join(list(names)[:5])


def _from_list(below):
    """torchvision's names of nn.Sequential(*resnet.children()), as lightly keeps backbones."""
    for name, x in below.items():
        number, _, rest = name.partition(".")
        yield f"{_LISTED.get(number, number)}.{rest}", x
