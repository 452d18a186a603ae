"""The tensors of a torch.save file, without torch and without running what is in it.

Two forms: since torch 1.6 a zip file with a pickle and one entry for each storage; before, five
pickles in a row and then the storages. See torch/serialization.py. A tensor is a storage, an
offset, a size and strides, and all of them are checked before anything is made of them.
"""

import dataclasses
import io
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from byol_jax import errors
from byol_jax.encoders.foreign import archive, arrays, pickles, tree

LEGACY = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # its magic number, pickled
_PICKLE = "/data.pkl"
_PROTOCOL = 1001
_SLACK = 4  # times the file, for tied weights and for float16 that becomes float32

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
    key: str
    dtype: str
    count: int


def known(name: pickles.Global) -> None:
    """Raises ValueError for a name that checkpoints of weights have no need of."""
    if name.name not in _KNOWN.get(name.module, "").split():
        raise errors.UserError(
            f"it names {str(name)[:200]!r}, which weights do not need; it was not imported, and "
            "nothing was run. Save the state_dict alone where the file was made, or take the "
            "arrays out of it by `python -m byol_jax unpickle --source=FILE --out=FILE.npz`."
        )


def read(
    path: str | Path, *, allow: Callable[[pickles.Global], None] = known
) -> dict[str, np.ndarray]:
    """{name: array} of all tensors, those in nested dicts by dotted names; bfloat16 is float32.

    allow: raises for names that may not be in the pickle; whatever it allows stays words.

    Raises ValueError, which does not name the file, for all that is no whole file of torch.save's.
    """
    with open(path, "rb") as file:
        is_zip = file.read(2) == b"PK"
    root, bytes_of = (_read_zip if is_zip else _read_legacy)(path, allow)
    found = tree.arrays(
        root,
        array_of=lambda node: _tensor(node, bytes_of),
        parts_of=_parts,
        separator=".",
        most_bytes=_SLACK * os.path.getsize(path),
    )
    if not found:
        raise errors.UserError("torch wrote it, and it holds no tensors.")
    return found


def is_archive(names) -> bool:
    """Whether a zip file with these entries is torch's."""
    return any(f"/{name}".endswith(_PICKLE) for name in names)


def _read_zip(path, allow):
    with archive.opened(path) as zipped:
        pickled = [name for name in zipped.members if f"/{name}".endswith(_PICKLE)]
        if len(pickled) != 1:
            raise errors.UserError(
                f"it has {len(pickled)} entries data.pkl, where torch writes one."
            )
        prefix = pickled[0].removesuffix("data.pkl")
        if f"{prefix}constants.pkl" in zipped.members:
            raise errors.UserError(
                "it is a TorchScript program; save the state_dict of its module."
            )
        if any(entry.compress_type for entry in zipped.members.values()):
            raise errors.UserError("it has compressed entries, which torch never writes.")
        order = zipped.members.get(f"{prefix}byteorder")
        if order is not None and zipped.read(order.filename) != b"little":
            raise errors.UserError("its numbers are not little-endian; save it on another machine.")
        file = io.BytesIO(zipped.read(pickled[0]))
        wanted = {}
        root = pickles.read(file, allow=allow, outside=lambda identity: _note(identity, wanted))
        start = f"{prefix}data/"
        missing = [key for key in wanted if start + key not in zipped.members]
        if missing:
            raise errors.UserError(
                f"it lacks the numbers of {len(missing)} storages; fetch it anew."
            )
        return root, {key: zipped.read(start + key) for key in wanted}


def _read_legacy(path, allow):
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        _, protocol, system = (pickles.read(view, allow=allow) for _ in range(3))
        is_little = isinstance(system, dict) and system.get("little_endian") is True
        if protocol != _PROTOCOL or not is_little:
            raise errors.UserError("torch wrote it in a way, or on a machine, that is not known.")
        wanted = {}
        root = pickles.read(view, allow=allow, outside=lambda identity: _note(identity, wanted))
        keys = pickles.read(view, allow=allow)
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise errors.UserError("it does not list its storages.")
        if set(keys) != wanted.keys() or len(keys) != len(wanted):
            raise errors.UserError("it lists other storages than its tensors want.")
        return root, {key: _next_storage(view, wanted[key]) for key in keys}


def _next_storage(view, storage) -> bytes:
    count = int.from_bytes(view.read(8), "little", signed=True)
    size = count * arrays.itemsize(storage.dtype)
    if count != storage.count or not 0 <= size <= view.size() - view.tell():
        raise errors.UserError("it ends before its numbers do; fetch it anew.")
    return view.read(size)


def _note(identity, wanted) -> _Storage:
    """The storage that a persistent id tells of: ("storage", type, key, location, count, …)."""
    whole = isinstance(identity, tuple) and 5 <= len(identity) <= 6 and identity[0] == "storage"
    if not whole or (len(identity) == 6 and identity[5] is not None):
        raise errors.UserError(
            "it refers to what is no whole storage, such as a module; save a state_dict."
        )
    _, kind, key, _, count = identity[:5]
    dtype = _STORAGES.get(kind.name) if isinstance(kind, pickles.Global) else None
    if dtype is None or not isinstance(key, str) or type(count) is not int:
        raise errors.UserError(
            "it has a storage of a type that is not known, such as a quantized one."
        )
    storage = _Storage(key, dtype, count)
    before = wanted.setdefault(key, storage)
    if (before.dtype, before.count) != (dtype, count):
        raise errors.UserError(f"it has the storage {key[:40]!r} in two types or lengths.")
    return before


def _tensor(node, bytes_of) -> np.ndarray | None:
    """The array of a tensor, None of all else."""
    if pickles.called(node) == _PARAMETER and node.arguments:
        node = node.arguments[0]
    if pickles.called(node) not in _TENSOR:
        return None
    if len(node.arguments) < 4 or not isinstance(node.arguments[0], _Storage):
        raise errors.UserError("it has a tensor without a storage.")
    storage, offset, size, strides = node.arguments[:4]
    size, strides = (_sides(sides) for sides in (size, strides))
    count = arrays.count(size)
    if len(strides) != len(size) or type(offset) is not int or offset < 0:
        raise errors.UserError("it has a tensor whose strides are none.")
    last = offset + sum((side - 1) * step for side, step in zip(size, strides, strict=True))
    if count > storage.count or (count and last >= storage.count):
        raise errors.UserError("it has a tensor that is larger than its storage.")
    return _strided(bytes_of[storage.key], storage, offset, size, strides)


def _strided(data, storage, offset, size, strides) -> np.ndarray:
    if len(data) != storage.count * arrays.itemsize(storage.dtype):
        raise errors.UserError("it has a storage of another length than it says.")
    kind = np.dtype("<u2" if storage.dtype == arrays.BFLOAT16 else storage.dtype)
    if not arrays.count(size):
        return arrays.widened(np.zeros(size, kind), storage.dtype)
    step = kind.itemsize
    strides = [step * stride for stride in strides]
    found = np.ndarray(size, kind, buffer=data, offset=offset * step, strides=strides)
    return arrays.widened(found, storage.dtype)


def _sides(node) -> tuple[int, ...]:
    """Of a tuple of them, or of torch.Size of one."""
    if pickles.called(node) == "torch.Size" and len(node.arguments) == 1:
        node = node.arguments[0]
    arrays.count(node)
    return tuple(node)


def _parts(node: Any):
    """What to look into: dicts of every kind, lists and tuples."""
    if pickles.called(node) in ("collections.OrderedDict", "collections.defaultdict"):
        return [*_pairs(node.arguments), *node.pairs.items()]
    return tree.plain_parts(node)


def _pairs(arguments):
    """Python 2 has an OrderedDict's items as lists of two in its one argument."""
    pairs = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list) else []
    return [(pair[0], pair[1]) for pair in pairs if _is_pair(pair)]


def _is_pair(pair):
    return isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)
