"""Files that mean harm, read with an eye on what they take."""

import io
import pathlib
import tracemalloc

import numpy as np
import pytest

from byol_jax.encoders.foreign import tensors

ONES = np.ones((2, 3), np.float32)
MOST = 64 * 2**20  # bytes that reading a small file may take


class Writes:
    """Whoever loads it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


class Evaluates(Writes):
    """The same by evaluating text."""

    def __reduce__(self):
        return eval, (f"open({str(self.path)!r}, 'w').close()",)


def read(data, tmp_path, name="x"):
    """What reading it gives, or the error, which is of one of two kinds; nothing is written."""
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
    """Reading it says these words, and does nothing else."""
    with pytest.raises(ValueError, match=words):
        raise read(data, tmp_path)


def npy(x, **changes) -> bytes:
    """An array as numpy saves it, its header changed."""
    file = io.BytesIO()
    told = {"descr": x.dtype.str, "fortran_order": False, "shape": x.shape} | changes
    np.lib.format.write_array_header_1_0(file, told)
    return file.getvalue() + x.tobytes()
