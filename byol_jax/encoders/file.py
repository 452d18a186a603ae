"""The file of an encoder: its arrays, and all that it takes to use them, as safetensors.

Two layouts: "flax" has our names and shapes, `params/stem_conv/kernel`; "torchvision" has those of
torchvision's and timm's ResNet, `conv1.weight`. Both come back as the same arrays, bit for bit.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import chex
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from byol_jax import errors
from byol_jax.networks import torchvision
from byol_jax.system import paths

LAYOUTS = ("flax", "torchvision")
_FORMAT, _VERSION = "byol_jax encoder", "1"
_LARGEST = 8192  # pixels of a side


class About(NamedTuple):
    """What a file tells beside its arrays.

    encoder: a section of a config, the name of one of networks.ENCODERS and its arguments; norm:
    the name of one of networks.NORMS.  image_shape: (H, W, C) of the pictures that the view is
    made of; dtype: theirs.  view: arguments of augment.evaluation_view.  patches: of CPC, their
    size and stride, whose features are averaged.  method, data, step, commit: where it comes from.
    """

    encoder: dict[str, Any]
    norm: str
    image_shape: tuple[int, int, int]
    dtype: str
    view: dict[str, Any]
    patches: dict[str, int] | None
    method: str
    data: str
    step: int
    commit: str


def write(
    path: str | Path,
    params: chex.ArrayTree,
    stats: chex.ArrayTree,
    about: About,
    *,
    layout: str = "flax",
) -> None:
    """Writes the file, whole or not at all; params and stats are the encoder's.

    Raises ValueError for an unknown layout, and for a network that torchvision's has no place for.
    """
    tensors = named(params, stats, about, layout)
    paths.write_whole(path, safetensors.numpy.save(tensors, metadata=_metadata(about, layout)))


def named(params, stats, about: About, layout: str) -> dict[str, np.ndarray]:
    """The arrays of a layout, by name; raises as `write` does."""
    if layout not in LAYOUTS:
        raise errors.UserError(f"unknown layout {layout!r}; choose {' or '.join(LAYOUTS)}.")
    if layout == "torchvision":
        _check_torchvision(about)
        return torchvision.to_torchvision(params, stats)
    trees = {"params": params, "stats": stats}
    flat = traverse_util.flatten_dict(trees, sep="/")
    return {name: np.ascontiguousarray(x) for name, x in flat.items()}


def read(path: str | Path) -> tuple[chex.ArrayTree, chex.ArrayTree, About]:
    """(params, stats, about) of a file in either layout; nothing in it is run.

    Raises FileNotFoundError where there is none, ValueError where it is something else.
    """
    path = paths.local(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        with safetensors.safe_open(path, framework="np") as opened:
            metadata = opened.metadata() or {}
            about, layout = _about(path, metadata)
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError, UnicodeDecodeError) as error:
        raise errors.UserError(f"{path} is no whole safetensors file ({error}).") from error
    if layout == "torchvision":
        params, stats = torchvision.from_torchvision(tensors)
        return params, stats, about
    trees = _unflatten(path, tensors)
    return trees.get("params", {}), trees.get("stats", {}), about


def is_encoder(path: str | Path) -> bool:
    """Whether `read` can be asked: a safetensors file of ours, whatever is in it."""
    try:
        with safetensors.safe_open(path, framework="np") as opened:
            return (opened.metadata() or {}).get("format") == _FORMAT
    except (OSError, safetensors.SafetensorError, UnicodeDecodeError):
        return False


def _check_torchvision(about):
    """Raises ValueError where the same arrays would give other features there."""
    padding, stem = about.encoder.get("padding", "torch"), about.encoder.get("stem", "imagenet")
    if padding == "same" or (padding == "fixed" and stem == "imagenet"):
        raise errors.UserError(
            f"torchvision's ResNet pads symmetrically, and this one was trained with padding "
            f"{padding!r}: where the stride is 2 its arrays would give other features there. Export "
            "the layout 'flax', or train with encoder.padding='torch'."
        )
    if about.norm != "batch":
        raise errors.UserError(
            f"torchvision's ResNet has batch norm, and this one {about.norm} norm; export the "
            "layout 'flax'."
        )
    if about.patches is not None:
        raise errors.UserError(
            "torchvision's ResNet sees whole images, and this one was trained on patches; export "
            "the layout 'flax'."
        )


def _metadata(about: About, layout: str) -> dict[str, str]:
    """Plain words for every reader, and all of it as JSON for ours."""
    described = {
        "format": _FORMAT,
        "version": _VERSION,
        "layout": layout,
        "architecture": about.encoder["name"],
        "stem": about.encoder.get("stem", "imagenet"),
        "padding": about.encoder.get("padding", "torch"),
        "input_range": "[0, 1]",
        "input_mean": json.dumps(about.view.get("mean")),
        "input_std": json.dumps(about.view.get("std")),
        "method": about.method,
        "data": about.data,
        "step": str(about.step),
    }
    return {**described, "about": json.dumps(about._asdict())}


def _about(path: Path, metadata: Mapping[str, str]) -> tuple[About, str]:
    if metadata.get("format") != _FORMAT:
        raise errors.UserError(
            f"{path} is not the file of an encoder that byol_jax wrote; make one of weights from "
            f"elsewhere by `python -m byol_jax import --weights={path} --out=FILE.safetensors`."
        )
    if metadata.get("version") != _VERSION or metadata.get("layout") not in LAYOUTS:
        raise errors.UserError(
            f"{path} has version {metadata.get('version')!r} and layout "
            f"{metadata.get('layout')!r}; this byol_jax reads version {_VERSION} and the layouts "
            f"{', '.join(LAYOUTS)}: export it anew."
        )
    try:
        about = About(**json.loads(metadata["about"]))
        about = about._replace(image_shape=tuple(int(side) for side in about.image_shape))
        sides = (*about.image_shape[:2], *np.atleast_1d(about.view.get("size") or 1))
        whole = len(about.image_shape) == 3 and all(1 <= int(side) <= _LARGEST for side in sides)
        whole = whole and "name" in about.encoder and about.dtype in ("uint8", "uint16")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise errors.UserError(f"{path} does not say what its encoder is ({error!r}).") from error
    if not whole:
        raise errors.UserError(
            f"{path} tells of no encoder that could be: {about.encoder}, {sides}."
        )
    return about, metadata["layout"]


def _unflatten(path, tensors):
    try:
        return traverse_util.unflatten_dict(tensors, sep="/")
    except (TypeError, IndexError, AttributeError) as error:
        raise errors.UserError(f"{path} has one array below another, by their names.") from error
