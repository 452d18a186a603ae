"""Reads a file of weights as arrays by name; the first bytes of the file determine its format."""

import contextlib
import io
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from byol_jax import errors
from byol_jax.encoders.foreign import archive, arrays, torch_file
from byol_jax.system import paths

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_FIRST_BYTES_OF_TEXT_PICKLES = b"(]}cdlIL"


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads all arrays in a file of weights, without running code from the file.

    Args:
        path: A file of safetensors, numpy (.npz) or torch.save, or the prefix of a TensorFlow
            checkpoint, whose index is `path`.index.

    Returns:
        The arrays by name; dots separate the names of nested dicts. float16 and bfloat16 become
        float32.

    Raises:
        FileNotFoundError: Neither the file nor the checkpoint exists.
        UserError: The file has another format or is damaged.
        MissingExtra: The path is a TensorFlow checkpoint, but tensorflow is not installed.
    """
    path = paths.local(path)
    if not path.exists() and path.with_name(f"{path.name}.index").is_file():
        return _read_tensorflow(path)
    with name_file_in_errors(path):
        return _READERS[file_format(path)](path)


def file_format(path: Path) -> str:
    """Detects the format of a file of weights.

    Args:
        path: The file.

    Returns:
        "safetensors", "npz", "torch" or "pickle".

    Raises:
        FileNotFoundError: The file does not exist.
        UserError: The file has another format, is empty, or is not a regular file.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"there is no file {path}, and no TensorFlow checkpoint {path.name}.index."
        )
    if not path.is_file():
        raise errors.UserError(
            "the path is not a regular file; give the path of a file with weights."
        )
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise errors.UserError("the file is empty; download it again.")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_format(path)
    if torch_file.LEGACY in head:
        return "torch"
    if head[0] == 0x80 and head[1:2] <= b"\x05":
        return "pickle"
    # The text protocols of pickle have no magic number.
    if head[0] in _FIRST_BYTES_OF_TEXT_PICKLES and _ends_with_stop(path):
        return "pickle"
    if head[8:9] == b"{":
        return "safetensors"
    first_bytes = head[:8].hex(" ")
    raise errors.UserError(
        f"the file begins with {first_bytes}, so it is not safetensors, .npz or a file of "
        "torch.save; save the weights in one of these formats. For a TensorFlow checkpoint, give "
        "the prefix without .index."
    )


@contextlib.contextmanager
def name_file_in_errors(path: str | Path) -> Iterator[None]:
    """A context manager that turns a ValueError into a UserError that names the file.

    Args:
        path: The file.

    Yields:
        None.

    Raises:
        UserError: The block raised a ValueError.
    """
    try:
        yield
    except ValueError as error:
        raise errors.UserError(f"{path} cannot be read as weights: {error}") from error


def _zip_format(path) -> str:
    with archive.open_archive(path) as zipped:
        if torch_file.is_archive(zipped.members):
            return "torch"
        if zipped.members and all(name.endswith(".npy") for name in zipped.members):
            return "npz"
        contents = ", ".join(list(zipped.members)[:5]) or "nothing"
    raise errors.UserError(
        f"the zip file was not written by numpy or torch; it contains {contents}."
    )


def _ends_with_stop(path) -> bool:
    """Returns True if the last byte is ".", the instruction that ends a pickle."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"."


def _read_safetensors(path) -> dict[str, np.ndarray]:
    try:
        with safetensors.safe_open(path, framework="np") as opened:
            names = opened.keys()
            return {name: arrays.widen(opened.get_tensor(name)) for name in names}
    except (safetensors.SafetensorError, TypeError, AttributeError, KeyError) as error:
        raise errors.UserError(
            f"the file is incomplete, or does not have the safetensors format ({error})."
        ) from error


def _read_npz(path) -> dict[str, np.ndarray]:
    with archive.open_archive(path) as zipped:
        named = {name.removesuffix(".npy"): _read_npy(zipped, name) for name in zipped.members}
    return {name: x for name, x in named.items() if x is not None}


def _read_npy(zipped, name) -> np.ndarray | None:
    """Returns the array in a zip entry, or None if the entry contains text."""
    contents = zipped.read(name)
    file = io.BytesIO(contents)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy warns about headers that Python 2 wrote
            shape, is_fortran, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    except Exception as error:  # numpy parses the header as Python, which raises various errors
        kind = type(error).__name__
        raise errors.UserError(
            f"the zip entry {name!r} has no valid numpy header ({kind})."
        ) from error
    if dtype.hasobject:
        raise errors.UserError(
            f"the zip entry {name!r} holds Python objects; weights must be numbers."
        )
    if dtype.kind not in "?biufc":
        return None
    data = memoryview(contents)[file.tell() :]
    num_bytes = len(data)
    # The header can declare any shape, so check it before the array is created.
    if math.prod(shape) * dtype.itemsize != num_bytes:
        declared = list(shape)
        raise errors.UserError(
            f"the zip entry {name!r} declares the shape {declared} of {dtype}, but has {num_bytes} "
            "bytes."
        )
    return arrays.from_bytes(data, dtype.str, shape, "F" if is_fortran else "C")


def _read_tensorflow(prefix: Path) -> dict[str, np.ndarray]:
    try:
        import tensorflow as tf  # pyright: ignore[reportMissingModuleSource]
    except ImportError as error:
        purpose = f"{prefix} is a TensorFlow checkpoint, and reading it needs tensorflow"
        raise errors.missing_extra("tfds", purpose) from error
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        names = sorted(reader.get_variable_to_shape_map())
        named = {name: np.asarray(reader.get_tensor(name)) for name in names}
    except (tf.errors.OpError, RuntimeError, UnicodeDecodeError) as error:
        raise errors.UserError(
            f"{prefix} is not a complete TensorFlow checkpoint ({error})."
        ) from error
    return {name: arrays.widen(x) for name, x in named.items() if x.dtype.kind in "?biuf"}


def _refuse_pickle(path) -> Any:
    raise errors.UserError(
        "the file is a Python pickle, which can run any code when it is loaded, so it was not "
        "loaded. Extract its arrays, without running its code, with "
        f"`python -m byol_jax unpickle --source={path} --out=FILE.npz`, and give FILE.npz instead."
    )


_READERS = {
    "safetensors": _read_safetensors,
    "npz": _read_npz,
    "torch": torch_file.read,
    "pickle": _refuse_pickle,
}
