"""Creates arrays from raw bytes and from pickled numpy arrays; checks sizes before using them."""

import math
from typing import Any, Literal

import numpy as np

from byol_jax import errors
from byol_jax.encoders.foreign import pickles

BFLOAT16 = "bfloat16"  # not a dtype of numpy
_MAX_AXES = 32
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
    """Returns the number of bytes of one element.

    Args:
        dtype: The name of a numpy dtype, or BFLOAT16.

    Returns:
        The number of bytes.
    """
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def count_elements(shape: Any) -> int:
    """Returns the number of elements of an array.

    Args:
        shape: The shape of the array, from a file.

    Returns:
        The number of elements.

    Raises:
        UserError: `shape` is not a tuple or list of at most 32 non-negative integers.
    """
    is_sequence = isinstance(shape, tuple | list) and len(shape) <= _MAX_AXES
    if not is_sequence or not all(type(side) is int and 0 <= side < 2**48 for side in shape):
        raise errors.UserError("the file contains an array with an invalid shape.")
    return math.prod(shape)


def from_bytes(data: Any, dtype: str, shape: Any, order: Literal["C", "F"] = "C") -> np.ndarray:
    """Creates an array from its bytes.

    Args:
        data: A buffer with the elements of the array and nothing else.
        dtype: The name of a numpy dtype with its byte order, or BFLOAT16.
        shape: The shape of the array, from a file.
        order: "C" if the last axis varies fastest, "F" if the first axis does.

    Returns:
        The array in the byte order of this machine; float16 and bfloat16 become float32.

    Raises:
        UserError: The shape is invalid, or needs more or fewer bytes than `data` has.
    """
    num_bytes = count_elements(shape) * itemsize(dtype)
    num_available = len(data)
    if num_bytes != num_available:
        raise errors.UserError(
            f"an array needs {num_bytes} bytes, but the file has {num_available} bytes for it."
        )
    stored_dtype = np.dtype("u2" if dtype == BFLOAT16 else dtype)
    x = np.ndarray(tuple(shape), stored_dtype, buffer=data, order=order)
    return widen(x, dtype)


def widen(x: np.ndarray, dtype: str | None = None) -> np.ndarray:
    """Converts float16 and bfloat16 arrays to float32, and returns other arrays unchanged.

    Args:
        x: The array; bfloat16 may be stored as its bits in uint16.
        dtype: BFLOAT16 if `x` contains such bits; other values have no effect.

    Returns:
        The array, contiguous and in the byte order of this machine.
    """
    if dtype == BFLOAT16:
        return (x.astype(np.uint32) << np.uint32(16)).view(np.float32)
    is_narrow = x.dtype == np.float16 or x.dtype.name == BFLOAT16
    wide_dtype = np.dtype(np.float32) if is_narrow else x.dtype.newbyteorder("=")
    return np.asarray(x, wide_dtype, order="C")


def from_pickle(node: Any) -> np.ndarray | None:
    """Converts a function call in a pickle into the array or number that the call would create.

    Args:
        node: An object from pickles.read.

    Returns:
        The array, or None if the call does not create a numpy or jax array. Arrays of text and
        structured arrays give None too.

    Raises:
        UserError: The object describes an incomplete array or an array of Python objects.
    """
    if not isinstance(node, pickles.Call):
        return None
    function = pickles.function_name(node)
    arguments = node.arguments
    if function in _RECONSTRUCT:
        return _from_state(node.state)
    if function in _JAX and len(arguments) > 2:
        return _from_state(arguments[2])
    if function in _FROM_BUFFER and len(arguments) == 4:
        data, dtype, shape, order = arguments
        return _from_state((shape, dtype, order == "F", data))
    if function in _SCALAR and len(arguments) == 2:
        dtype, data = arguments
        return _from_state(((), dtype, False, data))
    return None


def _from_state(state) -> np.ndarray | None:
    """Creates an array from the pickled state of a numpy array."""
    if not isinstance(state, tuple) or len(state) < 4:
        raise errors.UserError("a numpy array in the pickle has no contents.")
    shape, pickled_dtype, is_fortran, data = state[-4:]
    dtype = _dtype_name(pickled_dtype)
    if dtype is None:
        return None
    return from_bytes(_to_bytes(data), dtype, shape, "F" if is_fortran else "C")


def _dtype_name(node) -> str | None:
    """Returns the dtype that a recorded numpy.dtype(...) call creates; None if not numeric."""
    if (
        not isinstance(node, pickles.Call)
        or str(node.function) != "numpy.dtype"
        or not node.arguments
    ):
        raise errors.UserError("a numpy array in the pickle has no dtype.")
    code = node.arguments[0]
    if code == pickles.Global("ml_dtypes", "bfloat16"):
        return BFLOAT16
    if isinstance(code, str) and code.startswith("O"):
        raise errors.UserError(
            "the pickle contains an array of Python objects; weights must be numbers."
        )
    if not isinstance(code, str) or code not in _CODES:
        return None
    state = node.state
    is_big_endian = isinstance(state, tuple) and len(state) > 1 and state[1] == ">"
    return f">{code}" if is_big_endian and code != "?" else code


def _to_bytes(node) -> bytes | bytearray:
    # Python 2 and pickle protocol 2 store bytes as text.
    if pickles.function_name(node) == "_codecs.encode" and node.arguments:
        node = node.arguments[0]
    if isinstance(node, str):
        return node.encode("latin1")
    if isinstance(node, bytes | bytearray):
        return node
    raise errors.UserError("the contents of a numpy array in the pickle are not bytes.")
