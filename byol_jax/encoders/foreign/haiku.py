"""Converts the arrays of BYOL's Haiku networks.

See byol/utils/networks.py in google-deepmind/deepmind-research, and hk.nets.ResNet.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from byol_jax import errors

_NAME = re.compile(
    r"(?:experiment_state/)?online_(?P<tree>params|state)/\w+/~/"
    r"(?:block_group_(?P<stage>\d{1,4})/~/block_(?P<block>\d{1,4})/~/)?"
    r"(?P<layer>initial_conv|initial_batchnorm|shortcut_conv|shortcut_batchnorm"
    r"|(?:conv|batchnorm)_[012])/"
    r"(?P<leaf>w|scale|offset|~/mean_ema/average|~/var_ema/average)"
)
_LEAVES = {
    "w": "kernel",
    "scale": "scale",
    "offset": "bias",
    "~/mean_ema/average": "mean",
    "~/var_ema/average": "var",
}
_HEADS = re.compile(r"(?:experiment_state/)?online_\w+/(?:projector|predictor|classifier)/.*")
_UNUSED_STATISTICS = ("/hidden", "/counter")  # evaluation only reads the moving average itself


def matches(named: Mapping[str, np.ndarray]) -> bool:
    """Checks if arrays are named as in a BYOL checkpoint.

    Args:
        named: Arrays by name.

    Returns:
        True if the online network of BYOL is among them.
    """
    return any(re.match(r"(?:experiment_state/)?online_params/", name) for name in named)


def read(named: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Converts the online encoder of a BYOL checkpoint; ignores heads and the target network.

    Args:
        named: Arrays by their names in the checkpoint.

    Returns:
        The parameters and the batch-norm statistics of the encoder, as networks.resnet uses them,
        in float32.

    Raises:
        UserError: The encoder is not a ResNet of version 1.
    """
    params = {}
    stats = {}
    unknown = []
    for name, x in named.items():
        match = _NAME.fullmatch(name)
        if match is not None and x.dtype.kind == "f":
            node = params if match["tree"] == "params" else stats
            *parents, leaf = _path(match)
            for parent in parents:
                node = node.setdefault(parent, {})
            node[leaf] = np.asarray(x if leaf == "kernel" else x.reshape(-1), np.float32)
        elif (
            "online_" in name
            and not _HEADS.fullmatch(name)
            and not name.endswith(_UNUSED_STATISTICS)
        ):
            unknown.append(name)
    if unknown or "stem_conv" not in params:
        examples = ", ".join(unknown[:5])
        problem = f"unknown arrays {examples}" if unknown else "initial_conv is missing"
        raise errors.UserError(f"the arrays are not those of a BYOL ResNet (version 1): {problem}.")
    return params, stats


def _path(match) -> tuple[str, ...]:
    """Returns the path of an array in params or stats."""
    layer = match["layer"]
    leaf = _LEAVES[match["leaf"]]
    kind, _, number = layer.replace("batchnorm", "bn").rpartition("_")
    if layer.startswith(("initial", "shortcut")):
        layer = f"{kind.replace('initial', 'stem')}_{number}"
    else:
        layer = f"{kind}{int(number) + 1}"
    if match["stage"] is None:
        return layer, leaf
    return f"stage{int(match['stage']) + 1}_block{int(match['block']) + 1}", layer, leaf
