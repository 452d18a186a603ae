"""Bytes as arrays, and numpy's arrays out of pickles; every size is checked before its use."""

import math
from typing import Any

import numpy as np

from byol_jax import errors
from byol_jax.encoders.foreign import pickles

BFLOAT16 = "bfloat16"  # which numpy has not
_MOST_AXES = 32
_CODES = frozenset(
    ("?", "b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
)
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_RECONSTRUCT = frozenset(f"{module}._reconstruct" for module in _MULTIARRAY)
_SCALAR = frozenset(f"{module}.scalar" for module in _MULTIARRAY)
_FROM_BUFFER = frozenset(f"{module}._frombuffer" for module in _NUMERIC)
_JAX = frozenset(
    (
        "jax._src.array._reconstruct_array",
        "jax._src.device_array.reconstruct_device_array",
        "jax.interpreters.xla.reconstruct_device_array",
    )
)


def itemsize(dtype: str) -> int:
    """Bytes of one number; dtype is one of numpy's, or BFLOAT16."""
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def count(shape: Any) -> int:
    """The numbers of an array of that shape; raises ValueError for what is none."""
    whole = isinstance(shape, tuple | list) and len(shape) <= _MOST_AXES
    if not whole or not all(type(side) is int and 0 <= side < 2**48 for side in shape):
        raise errors.UserError("it has an array whose shape is none.")
    return math.prod(shape)


def make(data: Any, dtype: str, shape: Any, order: str = "C") -> np.ndarray:
    """The array of these bytes, in this machine's order of bytes; bfloat16 becomes float32.

    Raises ValueError where the shape wants more or fewer bytes than there are.
    """
    wanted = count(shape) * itemsize(dtype)
    if wanted != len(data):
        raise errors.UserError(f"it has an array of {wanted} bytes in {len(data)} bytes.")
    kind = np.dtype("u2" if dtype == BFLOAT16 else dtype)
    found = np.ndarray(tuple(shape), kind, buffer=data, order=order)
    return widened(found, dtype)


def widened(x: np.ndarray, dtype: str | None = None) -> np.ndarray:
    """float32 of float16 and bfloat16 (whose bits are uint16), else x; native and contiguous."""
    if dtype == BFLOAT16:
        return (x.astype(np.uint32) << np.uint32(16)).view(np.float32)
    narrow = x.dtype == np.float16 or x.dtype.name == BFLOAT16
    kind = np.dtype(np.float32) if narrow else x.dtype.newbyteorder("=")
    return np.asarray(x, kind, order="C")


def of_pickle(node: Any) -> np.ndarray | None:
    """The array, or the number, of numpy or jax that a call in a pickle would have made, or None.

    None too for arrays of text and of records. Raises ValueError for arrays of Python objects.
    """
    if not isinstance(node, pickles.Made):
        return None
    function, arguments, state = pickles.called(node), node.arguments, node.state
    if function in _RECONSTRUCT:
        return _of_state(state)
    if function in _JAX and len(arguments) > 2:
        return _of_state(arguments[2])
    if function in _FROM_BUFFER and len(arguments) == 4:
        data, dtype, shape, order = arguments
        return _of_state((shape, dtype, order == "F", data))
    if function in _SCALAR and len(arguments) == 2:
        return _of_state(((), arguments[0], False, arguments[1]))
    return None


def _of_state(state):
    if not isinstance(state, tuple) or len(state) < 4:
        raise errors.UserError("it has an array of numpy's without its contents.")
    shape, dtype, is_fortran, data = state[-4:]
    dtype = _dtype(dtype)
    if dtype is None:
        return None
    data = _bytes(data)
    return make(data, dtype, shape, "F" if is_fortran else "C")


def _dtype(node) -> str | None:
    """What numpy.dtype(…) would have made: None for text and records."""
    if (
        not isinstance(node, pickles.Made)
        or str(node.function) != "numpy.dtype"
        or not node.arguments
    ):
        raise errors.UserError("it has an array of numpy's without a dtype.")
    code = node.arguments[0]
    if code == pickles.Global("ml_dtypes", "bfloat16"):
        return BFLOAT16
    if isinstance(code, str) and code.startswith("O"):
        raise errors.UserError("it has an array of Python objects, which are not weights.")
    if not isinstance(code, str) or code not in _CODES:
        return None
    state = node.state
    swapped = isinstance(state, tuple) and len(state) > 1 and state[1] == ">"
    return f">{code}" if swapped and code != "?" else code


def _bytes(node):
    """Python 2, and protocol 2, have bytes as text."""
    if pickles.called(node) == "_codecs.encode" and node.arguments:
        node = node.arguments[0]
    if isinstance(node, str):
        return node.encode("latin1")
    if isinstance(node, bytes | bytearray):
        return node
    raise errors.UserError("it has an array of numpy's whose contents are no bytes.")
