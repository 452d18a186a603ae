"""A file of weights as arrays by name, whatever form it has; the first bytes tell, not the name."""

import contextlib
import io
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import safetensors

from byol_jax import errors
from byol_jax.encoders.foreign import archive, arrays, torch_file
from byol_jax.system import paths

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_PICKLED_AS_TEXT = b"(]}cdlIL"


def read(path: str | Path) -> dict[str, np.ndarray]:
    """{name: array}: of safetensors, npz, torch.save's two forms, or a TensorFlow checkpoint.

    path: a file, or the prefix of a checkpoint whose index is the file `path`.index.  Nested dicts
    become dotted names; float16 and bfloat16 become float32.

    Raises FileNotFoundError where there is none; ValueError where it is none of these or not whole;
    ImportError for a checkpoint without TensorFlow. Nothing in the file is run.
    """
    path = paths.local(path)
    if not path.exists() and path.with_name(f"{path.name}.index").is_file():
        return _read_tensorflow(path)
    with reading(path):
        return _READERS[kind(path)](path)


def kind(path: Path) -> str:
    """One of safetensors, npz, torch, pickle.

    Raises FileNotFoundError where there is no file, ValueError for other forms.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}, nor a checkpoint {path.name}.index.")
    if not path.is_file():
        raise errors.UserError("it is no file; name the one file that holds the weights.")
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise errors.UserError("it is empty; fetch it anew.")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _kind_of_zip(path)
    if torch_file.LEGACY in head:
        return "torch"
    if (head[0] == 0x80 and head[1:2] <= b"\x05") or (head[0] in _PICKLED_AS_TEXT and _ends(path)):
        return "pickle"
    if head[8:9] == b"{":
        return "safetensors"
    raise errors.UserError(
        f"it begins with {head[:8].hex(' ')}, and is none of safetensors, .npz, a file of "
        "torch.save's or a TensorFlow checkpoint (give its prefix, without .index); save it as one."
    )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Says of which file an error is."""
    try:
        yield
    except ValueError as error:
        raise errors.UserError(f"{path} cannot be read as weights: {error}") from error


def _kind_of_zip(path) -> str:
    with archive.opened(path) as zipped:
        if torch_file.is_archive(zipped.members):
            return "torch"
        if zipped.members and all(name.endswith(".npy") for name in zipped.members):
            return "npz"
        some = ", ".join(list(zipped.members)[:5])
    raise errors.UserError(
        f"it is a zip file, neither numpy's nor torch's; in it are: {some or 'nothing'}."
    )


def _ends(path) -> bool:
    """As a pickle does; the forms of protocols 0 and 1 have no other mark."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"."


def _read_safetensors(path) -> dict[str, np.ndarray]:
    try:
        with safetensors.safe_open(path, framework="np") as opened:
            names = opened.keys()
            return {name: arrays.widened(opened.get_tensor(name)) for name in names}
    except (safetensors.SafetensorError, TypeError, AttributeError, KeyError) as error:
        raise errors.UserError(f"it is no whole safetensors file of numbers ({error}).") from error


def _read_npz(path) -> dict[str, np.ndarray]:
    with archive.opened(path) as zipped:
        found = {name.removesuffix(".npy"): _npy(zipped, name) for name in zipped.members}
    return {name: x for name, x in found.items() if x is not None}


def _npy(zipped, name) -> np.ndarray | None:
    """The array of one entry, None of text; its header is checked against the bytes there are."""
    file = io.BytesIO(zipped.read(name))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python 2's headers
            shape, is_fortran, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    except Exception as error:  # the header is a Python literal, and fails as such
        raise errors.UserError(
            f"{name!r} has no header of numpy's ({type(error).__name__})."
        ) from error
    if dtype.hasobject:
        raise errors.UserError(f"{name!r} holds Python objects, which are not weights.")
    if dtype.kind not in "?biufc":
        return None
    data = file.getbuffer()[file.tell() :]
    if math.prod(shape) * dtype.itemsize != len(data):
        raise errors.UserError(f"{name!r} promises {list(shape)} of {dtype} in {len(data)} bytes.")
    return arrays.make(data, dtype.str, shape, "F" if is_fortran else "C")


def _read_tensorflow(prefix: Path) -> dict[str, np.ndarray]:
    try:
        import tensorflow as tf
    except ImportError as error:
        purpose = f"{prefix} is a TensorFlow checkpoint, and reading it needs tensorflow"
        raise errors.missing_extra("tfds", purpose) from error
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        names = sorted(reader.get_variable_to_shape_map())
        found = {name: np.asarray(reader.get_tensor(name)) for name in names}
    except (tf.errors.OpError, RuntimeError, UnicodeDecodeError) as error:
        raise errors.UserError(f"{prefix} is no whole TensorFlow checkpoint ({error}).") from error
    return {n: arrays.widened(x) for n, x in found.items() if x.dtype.kind in "?biuf"}


def _refuse(path):
    raise errors.UserError(
        "it is a Python pickle, which can run any code where it is loaded, so it was not. Its "
        "arrays alone are taken out by "
        f"`python -m byol_jax unpickle --source={path} --out=FILE.npz`, "
        "which runs nothing of it; then give that file."
    )


_READERS = {
    "safetensors": _read_safetensors,
    "npz": _read_npz,
    "torch": torch_file.read,
    "pickle": _refuse,
}
