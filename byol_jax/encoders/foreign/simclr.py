"""Converts SimCLR's TensorFlow checkpoints, in which each layer has a number.

The order is that of resnet.py in google-research/simclr: the stem first, then the blocks. The
shortcut convolution of a block, if there is one, comes before its other convolutions. The first
block of each stage has a shortcut, so a shortcut marks a new stage. The batch norm that follows a
convolution has the same number.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from byol_jax import errors

_NAME = re.compile(
    r"base_model/(?P<kind>conv2d|(?:sync_)?batch_normalization)(?:_(?P<number>\d{1,4}))?/"
    r"(?P<leaf>kernel|gamma|beta|moving_mean|moving_variance)"
)
_SUFFIXES = re.compile(r"(?::0|/\.ATTRIBUTES/VARIABLE_VALUE)$")
_PARAMS = {"gamma": "scale", "beta": "bias"}
_STATS = {"moving_mean": "mean", "moving_variance": "var"}


class _LayerName(NamedTuple):
    """The names of a convolution and of the batch norm that follows it.

    Attributes:
        block: The block, such as "stage1_block1"; empty for the stem.
        prefix: The text before "conv" and "bn", such as "shortcut_".
        suffix: The text after "conv" and "bn", such as "2".
    """

    block: str
    prefix: str
    suffix: str


def matches(named: Mapping[str, np.ndarray]) -> bool:
    """Checks if arrays are named as in a SimCLR checkpoint.

    Args:
        named: Arrays by name.

    Returns:
        True if the base model of SimCLR is among them.
    """
    return any(name.startswith("base_model/") for name in named)


def read(named: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Converts the base model of a SimCLR checkpoint; ignores heads and the optimizer's arrays.

    Args:
        named: Arrays by their names in the checkpoint.

    Returns:
        The parameters and the batch-norm statistics of the encoder, as networks.resnet uses them,
        in float32.

    Raises:
        UserError: The layers are not those of a ResNet without selective kernels.
    """
    kernels, norms = _by_number(named)
    if (
        not kernels
        or sorted(kernels) != list(range(len(kernels)))
        or kernels.keys() != norms.keys()
    ):
        num_kernels = len(kernels)
        num_norms = len(norms)
        raise errors.UserError(
            f"SimCLR's base_model has {num_kernels} convolutions and {num_norms} batch norms, but "
            "there must be one batch norm for each convolution. Selective kernels, a deep stem and "
            "other networks are not supported."
        )
    params = {}
    stats = {}
    names = _layer_names([kernels[i] for i in sorted(kernels)])
    for number, (block, prefix, suffix) in enumerate(names):
        block_params = params.setdefault(block, {}) if block else params
        block_stats = stats.setdefault(block, {}) if block else stats
        convolution = f"{prefix}conv{suffix}"
        norm = f"{prefix}bn{suffix}"
        leaves = norms[number]
        block_params[convolution] = {"kernel": kernels[number]}
        block_params[norm] = {_PARAMS[k]: x for k, x in leaves.items() if k in _PARAMS}
        block_stats[norm] = {_STATS[k]: x for k, x in leaves.items() if k in _STATS}
    return params, stats


def _by_number(named):
    """Returns the convolution kernels and the batch-norm arrays, as two dicts by layer number."""
    kernels = {}
    norms = {}
    for name, x in named.items():
        match = _NAME.fullmatch(_SUFFIXES.sub("", name))
        if match is None or x.dtype.kind != "f":
            continue
        number = int(match["number"] or 0)  # the name of the first layer has no number
        x = np.asarray(x, np.float32)
        if match["leaf"] == "kernel" and match["kind"] == "conv2d":
            kernels[number] = x
        elif match["kind"] != "conv2d":
            norms.setdefault(number, {})[match["leaf"]] = x
    return kernels, norms


def _layer_names(kernels: Sequence[np.ndarray]) -> Iterator[_LayerName]:
    """Yields the name of each layer, inferred from the sizes of the kernels."""
    if any(kernel.ndim != 4 for kernel in kernels):
        raise errors.UserError(
            "SimCLR's base_model has a convolution whose kernel does not have 4 axes."
        )
    sizes = [kernel.shape[0] for kernel in kernels[1:]]
    is_basic = (3, 3) in itertools.pairwise(sizes)
    block_sizes = [3, 3] if is_basic else [1, 3, 1]
    yield _LayerName("", "stem_", "")
    stage = 0
    block = 0
    position = 0
    while position < len(sizes):
        has_shortcut = sizes[position : position + 2] == [1, block_sizes[0]]
        if has_shortcut:
            stage += 1
            block = 1
        else:
            block += 1
        name = f"stage{stage}_block{block}"
        if has_shortcut:
            yield _LayerName(name, "shortcut_", "")
            position += 1
        actual_sizes = sizes[position : position + len(block_sizes)]
        if actual_sizes != block_sizes:
            num_layers = position + 1
            raise errors.UserError(
                f"SimCLR's base_model has kernels of sizes {actual_sizes} after {num_layers} "
                f"layers, but a block needs {block_sizes}; selective kernels are not supported."
            )
        yield from (_LayerName(name, "", str(i + 1)) for i in range(len(block_sizes)))
        position += len(block_sizes)
