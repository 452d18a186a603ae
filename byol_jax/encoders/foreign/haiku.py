"""The names that BYOL's networks have in Haiku; see byol/utils/networks.py and hk.nets.ResNet."""

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
_COUNTS = ("/hidden", "/counter")  # of the moving averages; evaluation reads `average`


def is_of(named: Mapping[str, np.ndarray]) -> bool:
    """Whether these are BYOL's."""
    return any(re.match(r"(?:experiment_state/)?online_params/", name) for name in named)


def read(named: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(params, stats) of the online encoder; raises ValueError for names that are no ResNet's."""
    params, stats, unknown = {}, {}, []
    for name, x in named.items():
        match = _NAME.fullmatch(name)
        if match is not None and x.dtype.kind == "f":
            tree = params if match["tree"] == "params" else stats
            *place, leaf = _place(match)
            for part in place:
                tree = tree.setdefault(part, {})
            tree[leaf] = np.asarray(x if leaf == "kernel" else x.reshape(-1), np.float32)
        elif "online_" in name and not _HEADS.fullmatch(name) and not name.endswith(_COUNTS):
            unknown.append(name)
    if unknown or "stem_conv" not in params:
        raise errors.UserError(
            f"these arrays are not those of BYOL's ResNet (version 1): {', '.join(unknown[:5])}."
        )
    return params, stats


def _place(match) -> tuple[str, ...]:
    layer, leaf = match["layer"], _LEAVES[match["leaf"]]
    kind, _, number = layer.replace("batchnorm", "bn").rpartition("_")
    if layer.startswith(("initial", "shortcut")):
        layer = f"{kind.replace('initial', 'stem')}_{number}"
    else:
        layer = f"{kind}{int(number) + 1}"
    if match["stage"] is None:
        return layer, leaf
    return f"stage{int(match['stage']) + 1}_block{int(match['block']) + 1}", layer, leaf
