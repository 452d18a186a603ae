"""The encoder file: a network's arrays, and the metadata needed to use them, in safetensors format.

The arrays have one of two layouts. "flax" uses the names and shapes of this package, such as
`params/stem_conv/kernel`. "torchvision" uses those of torchvision's and timm's ResNet, such as
`conv1.weight`. Reading either layout gives the same arrays, bit for bit.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from byol_jax import errors
from byol_jax.networks import torchvision
from byol_jax.system import paths

LAYOUTS = ("flax", "torchvision")
_FORMAT = "byol_jax encoder"
_VERSION = "1"
_MAX_SIDE = 8192  # pixels


class EncoderInfo(NamedTuple):
    """A description of a trained encoder: network, input images, preprocessing and origin.

    Attributes:
        encoder: The network, as in a config: its name in networks.ENCODERS and its arguments.
        norm: The normalization layer, a name in networks.NORMS.
        image_shape: Shape (H, W, C) of the images before preprocessing.
        dtype: The dtype of these images, "uint8" or "uint16".
        view: The preprocessing, as arguments of augment.evaluation_view.
        patches: The "size" and "stride" in pixels of the patches whose features are averaged
            (CPC); None if the network takes whole images.
        method: The method that trained the encoder, or the format of converted weights.
        data: The name of the training data, or card.UNKNOWN.
        step: The number of training steps.
        commit: The version of byol_jax that wrote the file.
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
    params: Any,
    stats: Any,
    info: EncoderInfo,
    *,
    layout: str = "flax",
) -> None:
    """Writes a trained encoder to a file; an interrupted write leaves an existing file unchanged.

    Args:
        path: The file to write, usually named `*.safetensors`.
        params: The encoder's parameters, without the projector and predictor.
        stats: The encoder's batch-norm statistics.
        info: The description of the encoder.
        layout: Names and shapes of the arrays, one of LAYOUTS.

    Raises:
        UserError: The layout is unknown, or torchvision's ResNet cannot represent the network.
        OSError: The file cannot be written.
    """
    arrays = _named_arrays(params, stats, info, layout)
    paths.write_whole(path, safetensors.numpy.save(arrays, metadata=_metadata(info, layout)))


def read(path: str | Path) -> tuple[Any, Any, EncoderInfo]:
    """Reads a trained encoder, in flax or torchvision layout; never runs code from the file.

    Args:
        path: The encoder file.

    Returns:
        The parameters and the batch-norm statistics of the encoder, and its description.

    Raises:
        FileNotFoundError: The file does not exist.
        UserError: The file is not a complete encoder file.
    """
    path = paths.local(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        with safetensors.safe_open(path, framework="np") as opened:
            # Check the metadata before reading any array.
            info, layout = _parse_metadata(path, opened.metadata() or {})
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError, UnicodeDecodeError) as error:
        raise errors.UserError(f"{path} is not a complete safetensors file ({error}).") from error
    if layout == "torchvision":
        params, stats = torchvision.from_torchvision(arrays)
        return params, stats, info
    trees = _unflatten(path, arrays)
    return trees.get("params", {}), trees.get("stats", {}), info


def is_encoder(path: str | Path) -> bool:
    """Checks if a file has the encoder format, without checking the arrays.

    Args:
        path: Any file.

    Returns:
        True if the file is a safetensors file whose metadata name the encoder format.
    """
    try:
        with safetensors.safe_open(path, framework="np") as opened:
            return (opened.metadata() or {}).get("format") == _FORMAT
    except (OSError, safetensors.SafetensorError, UnicodeDecodeError):
        return False


def _named_arrays(params, stats, info: EncoderInfo, layout: str) -> dict[str, np.ndarray]:
    if layout not in LAYOUTS:
        layouts = " or ".join(LAYOUTS)
        raise errors.UserError(f"unknown layout {layout!r}; choose {layouts}.")
    if layout == "torchvision":
        _check_torchvision(info)
        return torchvision.to_torchvision(params, stats)
    trees = {"params": params, "stats": stats}
    flat = traverse_util.flatten_dict(trees, sep="/")
    return {name: np.ascontiguousarray(x) for name, x in flat.items()}


def _check_torchvision(info: EncoderInfo) -> None:
    """Raises UserError if torchvision's ResNet would compute different features than ours."""
    padding = info.encoder.get("padding", "torch")
    stem = info.encoder.get("stem", "imagenet")
    if padding == "same" or (padding == "fixed" and stem == "imagenet"):
        raise errors.UserError(
            f"this encoder was trained with padding {padding!r}, but torchvision's ResNet pads "
            "symmetrically and would compute different features in layers with stride 2. Export "
            "the encoder in the layout 'flax', or train with encoder.padding='torch'."
        )
    if info.norm != "batch":
        raise errors.UserError(
            f"this encoder uses {info.norm} norm, but torchvision's ResNet uses batch norm; "
            "export the encoder in the layout 'flax'."
        )
    if info.patches is not None:
        raise errors.UserError(
            "this encoder was trained on patches, but torchvision's ResNet takes whole images; "
            "export the encoder in the layout 'flax'."
        )


def _metadata(info: EncoderInfo, layout: str) -> dict[str, str]:
    """Returns the metadata of a file: the description as JSON, and fields for other programs."""
    summary = {
        "format": _FORMAT,
        "version": _VERSION,
        "layout": layout,
        "architecture": info.encoder["name"],
        "stem": info.encoder.get("stem", "imagenet"),
        "padding": info.encoder.get("padding", "torch"),
        "input_range": "[0, 1]",
        "input_mean": json.dumps(info.view.get("mean")),
        "input_std": json.dumps(info.view.get("std")),
        "method": info.method,
        "data": info.data,
        "step": str(info.step),
    }
    return {**summary, "about": json.dumps(info._asdict())}


def _parse_metadata(path: Path, metadata: Mapping[str, str]) -> tuple[EncoderInfo, str]:
    """Returns the description and the layout; raises UserError if they are invalid."""
    if metadata.get("format") != _FORMAT:
        raise errors.UserError(
            f"{path} is not an encoder file that byol_jax wrote; convert weights from another "
            f"project with `python -m byol_jax import --weights={path} --out=FILE.safetensors`."
        )
    version = metadata.get("version")
    layout = metadata.get("layout")
    if version != _VERSION or layout not in LAYOUTS:
        layouts = " and ".join(LAYOUTS)
        raise errors.UserError(
            f"{path} has version {version!r} and layout {layout!r}, but this byol_jax reads "
            f"version {_VERSION!r} and the layouts {layouts}; export the encoder again."
        )
    try:
        info = EncoderInfo(**json.loads(metadata["about"]))
        info = info._replace(image_shape=tuple(int(side) for side in info.image_shape))
        sides = (*info.image_shape[:2], *np.atleast_1d(info.view.get("size") or 1))
        is_valid = len(info.image_shape) == 3 and all(1 <= int(s) <= _MAX_SIDE for s in sides)
        is_valid = is_valid and "name" in info.encoder and info.dtype in ("uint8", "uint16")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise errors.UserError(
            f"the metadata of {path} does not describe an encoder ({error!r}); export it again."
        ) from error
    if not is_valid:
        view_size = info.view.get("size")
        raise errors.UserError(
            f"the metadata of {path} describes an invalid encoder: encoder {info.encoder}, "
            f"image_shape {info.image_shape}, dtype {info.dtype!r}, view size {view_size}. An "
            f"encoder needs a name, image sides of 1 to {_MAX_SIDE} pixels, and the image dtype "
            "uint8 or uint16."
        )
    return info, layout


def _unflatten(path, arrays) -> dict[str, Any]:
    try:
        return traverse_util.unflatten_dict(arrays, sep="/")
    except (TypeError, IndexError, AttributeError) as error:
        raise errors.UserError(
            f"the array names in {path} conflict: one name is a prefix of another, as in a and a/b."
        ) from error
