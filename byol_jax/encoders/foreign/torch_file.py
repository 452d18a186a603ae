"""Reads the tensors of a torch.save file, without torch and without running code from the file.

Since torch 1.6 the file is a zip file with a pickle and one entry for each storage. Before, it was
five pickles followed by the storages. See torch/serialization.py. A tensor is described by a
storage, an offset, a size and strides. All of them are checked before the array is created.
"""

import dataclasses
import io
import mmap
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from byol_jax import errors
from byol_jax.encoders.foreign import archive, arrays, pickles, tree

LEGACY = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # the magic number, pickled
_PICKLE = "/data.pkl"
_PROTOCOL = 1001
# Size of all arrays divided by the size of the file: tied weights are repeated, and float16 becomes
# float32.
_MAX_RATIO = 4

_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": arrays.BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "ComplexFloatStorage": "<c8",
    "ComplexDoubleStorage": "<c16",
}
_TENSOR = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
_PARAMETER = "torch._utils._rebuild_parameter"
_DTYPES = (
    "float16 float32 float64 half float double bfloat16 int8 int16 int32 int64 short int long "
    "uint8 bool complex64 complex128"
)
_KNOWN = {
    "collections": "OrderedDict defaultdict Counter",
    "torch._utils": "_rebuild_tensor_v2 _rebuild_tensor _rebuild_parameter",
    "torch": " ".join([*_STORAGES, _DTYPES, "Size device"]),
    "torch.storage": "UntypedStorage TypedStorage",
    "argparse": "Namespace",
    "numpy": "dtype ndarray",
    "numpy.core.multiarray": "scalar _reconstruct",
    "numpy._core.multiarray": "scalar _reconstruct",
    "_codecs": "encode",
    "builtins": "set dict list int float bool str bytes complex",
    "__builtin__": "set dict list int float bool str bytes complex",
}


@dataclasses.dataclass(frozen=True, eq=False)
class _Storage:
    """A block of numbers that several tensors can share.

    Attributes:
        key: The name of the storage in the file.
        dtype: The numpy dtype of the numbers, or arrays.BFLOAT16.
        count: The number of numbers.
    """

    key: str
    dtype: str
    count: int


def check_known(reference: pickles.Global) -> None:
    """Raises UserError if a pickle names a function or class that no file of weights needs.

    Args:
        reference: The name.

    Raises:
        UserError: The name is not on the list of known names.
    """
    if reference.name not in _KNOWN.get(reference.module, "").split():
        name = str(reference)[:200]
        raise errors.UserError(
            f"the pickle refers to {name!r}, which no file of weights needs; it was not imported. "
            "Save only the state_dict, or extract the arrays with "
            "`python -m byol_jax unpickle --source=FILE --out=FILE.npz`."
        )


def read(
    path: str | Path, *, check_global: Callable[[pickles.Global], None] = check_known
) -> dict[str, np.ndarray]:
    """Reads all tensors of a torch.save file.

    Args:
        path: The file.
        check_global: Raises an error for names that the pickle must not contain. Names that it
            accepts are not imported either.

    Returns:
        The tensors by name; dots separate the names of nested dicts. float16 and bfloat16 become
        float32.

    Raises:
        UserError: The file is damaged, has another format, or contains no tensors. The message does
            not name the file.
    """
    with open(path, "rb") as file:
        is_zip = file.read(2) == b"PK"
    root, data_by_key = (_read_zip if is_zip else _read_legacy)(path, check_global)
    tensors = tree.collect_arrays(
        root,
        array_of=lambda node: _tensor(node, data_by_key),
        parts_of=_parts,
        separator=".",
        max_bytes=_MAX_RATIO * os.path.getsize(path),
    )
    if not tensors:
        raise errors.UserError("the torch.save file contains no tensors.")
    return tensors


def is_archive(names: Iterable[str]) -> bool:
    """Checks if a zip file is one that torch wrote.

    Args:
        names: The names of the entries in the zip file.

    Returns:
        True if one of the entries is torch's pickle.
    """
    return any(f"/{name}".endswith(_PICKLE) for name in names)


def _read_zip(path, check_global):
    """Returns the pickled object, and a dict from the keys of the storages to their bytes."""
    with archive.open_archive(path) as zipped:
        pickled = [name for name in zipped.members if f"/{name}".endswith(_PICKLE)]
        count = len(pickled)
        if count != 1:
            raise errors.UserError(
                f"the zip file contains {count} entries named data.pkl, but torch writes one."
            )
        prefix = pickled[0].removesuffix("data.pkl")
        if f"{prefix}constants.pkl" in zipped.members:
            raise errors.UserError(
                "the file is a TorchScript program; save the state_dict of its module instead."
            )
        if any(entry.compress_type for entry in zipped.members.values()):
            raise errors.UserError("the zip file has compressed entries, which torch never writes.")
        order = zipped.members.get(f"{prefix}byteorder")
        if order is not None and zipped.read(order.filename) != b"little":
            raise errors.UserError(
                "the numbers in the file are not little-endian; save the weights on a "
                "little-endian machine."
            )
        file = io.BytesIO(zipped.read(pickled[0]))
        storages = {}
        root = pickles.read(
            file,
            check_global=check_global,
            load_persistent=lambda identity: _add_storage(identity, storages),
        )
        folder = f"{prefix}data/"
        missing = [key for key in storages if folder + key not in zipped.members]
        if missing:
            num_missing = len(missing)
            raise errors.UserError(
                f"the file lacks the data of {num_missing} storages; download it again."
            )
        return root, {key: zipped.read(folder + key) for key in storages}


def _read_legacy(path, check_global):
    """Returns the pickled object, and a dict from the keys of the storages to their bytes."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        _, protocol, system = (pickles.read(view, check_global=check_global) for _ in range(3))
        is_little = isinstance(system, dict) and system.get("little_endian") is True
        if protocol != _PROTOCOL or not is_little:
            raise errors.UserError(
                "the file has an unknown version of torch's format, or its numbers are not "
                "little-endian."
            )
        storages = {}
        root = pickles.read(
            view,
            check_global=check_global,
            load_persistent=lambda identity: _add_storage(identity, storages),
        )
        keys = pickles.read(view, check_global=check_global)
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise errors.UserError("the file has no list of its storages.")
        if set(keys) != storages.keys() or len(keys) != len(storages):
            raise errors.UserError("the list of storages does not match the tensors in the file.")
        return root, {key: _read_next_storage(view, storages[key]) for key in keys}


def _read_next_storage(view, storage) -> bytes:
    count = int.from_bytes(view.read(8), "little", signed=True)
    size = count * arrays.itemsize(storage.dtype)
    if count != storage.count or not 0 <= size <= view.size() - view.tell():
        raise errors.UserError(
            "the file ends before a storage is complete, or a storage has a different length than "
            "declared; download the file again."
        )
    return view.read(size)


def _add_storage(identity, storages) -> _Storage:
    """Records the storage to which a persistent id of the pickle refers."""
    is_storage = (
        isinstance(identity, tuple) and 5 <= len(identity) <= 6 and identity[0] == "storage"
    )
    # In old files, the sixth item describes a view of another storage.
    if not is_storage or (len(identity) == 6 and identity[5] is not None):
        raise errors.UserError(
            "the file contains objects other than tensors, such as a module; save only its "
            "state_dict."
        )
    _, kind, key, _, count = identity[:5]
    dtype = _STORAGES.get(kind.name) if isinstance(kind, pickles.Global) else None
    if dtype is None or not isinstance(key, str) or type(count) is not int:
        raise errors.UserError(
            "the file contains a storage of an unsupported type, such as a quantized one."
        )
    storage = storages.setdefault(key, _Storage(key, dtype, count))
    if (storage.dtype, storage.count) != (dtype, count):
        short_key = key[:40]
        raise errors.UserError(f"the storage {short_key!r} has two different types or lengths.")
    return storage


def _tensor(node, data_by_key) -> np.ndarray | None:
    """Returns the array of a tensor, or None for other objects."""
    if pickles.function_name(node) == _PARAMETER and node.arguments:
        node = node.arguments[0]
    if pickles.function_name(node) not in _TENSOR:
        return None
    if len(node.arguments) < 4 or not isinstance(node.arguments[0], _Storage):
        raise errors.UserError("a tensor in the file has no storage.")
    storage, offset, size, strides = node.arguments[:4]
    size = _sides(size)
    strides = _sides(strides)
    count = arrays.count_elements(size)
    if len(strides) != len(size) or type(offset) is not int or offset < 0:
        raise errors.UserError("a tensor in the file has invalid strides or an invalid offset.")
    # The strides determine the last element, which must be inside the storage.
    last = offset + sum((side - 1) * step for side, step in zip(size, strides, strict=True))
    if count > storage.count or (count and last >= storage.count):
        raise errors.UserError("a tensor in the file is larger than its storage.")
    return _strided_array(data_by_key[storage.key], storage, offset, size, strides)


def _strided_array(data, storage, offset, size, strides) -> np.ndarray:
    if len(data) != storage.count * arrays.itemsize(storage.dtype):
        raise errors.UserError("a storage in the file has a different length than declared.")
    dtype = np.dtype("<u2" if storage.dtype == arrays.BFLOAT16 else storage.dtype)
    if not arrays.count_elements(size):
        return arrays.widen(np.zeros(size, dtype), storage.dtype)
    step = dtype.itemsize
    byte_strides = [step * stride for stride in strides]
    x = np.ndarray(size, dtype, buffer=data, offset=offset * step, strides=byte_strides)
    return arrays.widen(x, storage.dtype)


def _sides(node) -> tuple[int, ...]:
    """Returns a tensor's size or strides as integers, from a tuple or a torch.Size."""
    if pickles.function_name(node) == "torch.Size" and len(node.arguments) == 1:
        node = node.arguments[0]
    arrays.count_elements(node)  # raises an error if the node is not a sequence of integers
    return tuple(node)


def _parts(node: Any) -> Iterable[tuple[str, Any]]:
    """Returns the objects that a dict, list or tuple contains."""
    if pickles.function_name(node) in ("collections.OrderedDict", "collections.defaultdict"):
        return [*_pairs(node.arguments), *node.pairs.items()]
    return tree.plain_parts(node)


def _pairs(arguments):
    """Returns the items of an OrderedDict, which Python 2 pickles as a list of pairs."""
    pairs = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list) else []
    return [(pair[0], pair[1]) for pair in pairs if _is_pair(pair)]


def _is_pair(pair):
    return isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)
