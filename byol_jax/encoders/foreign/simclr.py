"""The names of SimCLR's TensorFlow checkpoints, which only number the layers as they were made.

The order is that of google-research/simclr resnet.py: the stem; then, of each block, the shortcut's
convolution where there is one, and its others. The first block of a stage always has one, so a
shortcut begins a stage; every convolution has a batch norm after it, of the same number.
"""

import itertools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from byol_jax import errors

_NAME = re.compile(
    r"base_model/(?P<kind>conv2d|(?:sync_)?batch_normalization)(?:_(?P<number>\d{1,4}))?/"
    r"(?P<leaf>kernel|gamma|beta|moving_mean|moving_variance)"
)
_SUFFIXES = re.compile(r"(?::0|/\.ATTRIBUTES/VARIABLE_VALUE)$")
_PARAMS = {"gamma": "scale", "beta": "bias"}
_STATS = {"moving_mean": "mean", "moving_variance": "var"}


def is_of(named: Mapping[str, np.ndarray]) -> bool:
    """Whether these are SimCLR's."""
    return any(name.startswith("base_model/") for name in named)


def read(named: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(params, stats) of the base model; heads and the optimizer's slots (`Momentum`) are left out.

    Raises ValueError where the layers are not in the order of a ResNet without selective kernels.
    """
    kernels, norms = _by_number(named)
    if (
        not kernels
        or sorted(kernels) != list(range(len(kernels)))
        or kernels.keys() != norms.keys()
    ):
        raise errors.UserError(
            f"SimCLR's base_model has {len(kernels)} convolutions and {len(norms)} batch norms, "
            "which are not numbered one after the other, each with its own: selective kernels, a "
            "deep stem or another network."
        )
    params, stats = {}, {}
    for number, (block, before, after) in enumerate(_places([kernels[i] for i in sorted(kernels)])):
        own, moments = params, stats
        if block:
            own, moments = params.setdefault(block, {}), stats.setdefault(block, {})
        norm = norms[number]
        own[f"{before}conv{after}"] = {"kernel": kernels[number]}
        own[f"{before}bn{after}"] = {_PARAMS[k]: x for k, x in norm.items() if k in _PARAMS}
        moments[f"{before}bn{after}"] = {_STATS[k]: x for k, x in norm.items() if k in _STATS}
    return params, stats


def _by_number(named):
    """{number: kernel} and {number: {leaf: array}}; the first layer of a kind has no number."""
    kernels, norms = {}, {}
    for name, x in named.items():
        match = _NAME.fullmatch(_SUFFIXES.sub("", name))
        if match is None or x.dtype.kind != "f":
            continue
        number, x = int(match["number"] or 0), np.asarray(x, np.float32)
        if match["leaf"] == "kernel" and match["kind"] == "conv2d":
            kernels[number] = x
        elif match["kind"] != "conv2d":
            norms.setdefault(number, {})[match["leaf"]] = x
    return kernels, norms


def _places(kernels):
    """(block or "", before, after) of each layer's name, as in stage1_block1/shortcut_conv."""
    if any(kernel.ndim != 4 for kernel in kernels):
        raise errors.UserError("SimCLR's base_model has a convolution that is not of pictures.")
    sizes = [kernel.shape[0] for kernel in kernels[1:]]
    is_basic = (3, 3) in itertools.pairwise(sizes)
    layers = [3, 3] if is_basic else [1, 3, 1]
    yield "", "stem_", ""
    stage = block = at = 0
    while at < len(sizes):
        has_shortcut = sizes[at : at + 2] == [1, layers[0]]
        stage, block = (stage + 1, 1) if has_shortcut else (stage, block + 1)
        name = f"stage{stage}_block{block}"
        if has_shortcut:
            yield name, "shortcut_", ""
        at += has_shortcut
        if sizes[at : at + len(layers)] != layers:
            raise errors.UserError(
                f"SimCLR's base_model has kernels of sizes {sizes[at : at + 3]} after {at + 1} "
                f"layers, where {layers} are a block's; selective kernels are not supported."
            )
        yield from ((name, "", str(i + 1)) for i in range(len(layers)))
        at += len(layers)
