"""Malicious weight files, and a reader that watches memory and written files."""

import io
import pathlib
import tracemalloc

import numpy as np
import pytest

from byol_jax.encoders.foreign import tensors

ONES = np.ones((2, 3), np.float32)
MOST = 64 * 2**20  # bytes of memory that reading a small file may use


class Writes:
    """An object whose pickle writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


class Evaluates(Writes):
    """An object whose pickle writes a file by evaluating code."""

    def __reduce__(self):
        return eval, (f"open({str(self.path)!r}, 'w').close()",)


def read(data, tmp_path, name="x"):
    """Reads a file with these bytes; returns its arrays, or the ValueError or OSError.

    Checks that reading uses little memory and writes no file.
    """
    path = tmp_path / name
    path.write_bytes(data)
    tracemalloc.start()
    try:
        return tensors.read(path)
    except (ValueError, OSError) as error:
        return error
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < MOST + 10 * len(data)
        assert list(tmp_path.iterdir()) == [path]


def refused(data, tmp_path, words):
    """Checks that reading these bytes raises a ValueError whose message matches `words`."""
    with pytest.raises(ValueError, match=words):
        raise read(data, tmp_path)


def npy(x, **changes) -> bytes:
    """Returns an array in numpy's file format, with changes to its header."""
    file = io.BytesIO()
    header = {"descr": x.dtype.str, "fortran_order": False, "shape": x.shape} | changes
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + x.tobytes()
