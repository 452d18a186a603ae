"""npz and safetensors that lie, and files of every form damaged at random: arrays, or an error."""

import io
import json
import pickle
import random
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from byol_jax.encoders import foreign
from byol_jax.encoders.foreign import archive, unpickling
from support import hostile, weights

# npz


def _zip(**members) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in members.items():
            zipped.writestr(f"{name}.npy", data)
    return file.getvalue()


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (
            hostile.npy(hostile.ONES, shape=(10**15,)),
            "declares the shape .10*. of float32, but has 24 bytes",
        ),
        (hostile.npy(hostile.ONES, shape=(-6,)), "cannot be read"),
        (hostile.npy(hostile.ONES, shape=(5,)), "but has 24 bytes"),
        (hostile.npy(hostile.ONES, shape=(0, 10**15, 10**15)), "but has 24 bytes"),
        (hostile.npy(hostile.ONES, descr="|O"), "holds Python objects"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "no valid numpy header"),
        (b"\x93NUMPY\x01\x00\x10\x27" + b"(" * 10_000, "no valid numpy header"),
        (b"no array", "no valid numpy header"),
        (b"", "no valid numpy header"),
    ],
)
def test_npz_entries_that_lie_are_refused(member, words, tmp_path):
    hostile.refused(_zip(a=hostile.npy(hostile.ONES), b=member), tmp_path, words)


def test_an_array_of_objects_is_refused(tmp_path):
    file = io.BytesIO()
    np.savez(file, a=hostile.ONES, b=np.array([hostile.Writes(tmp_path / "owned")], object))
    hostile.refused(file.getvalue(), tmp_path, "holds Python objects")


def test_a_zip_bomb_is_refused(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped, zipped.open("a.npy", "w") as a:
        for _ in range(100):
            a.write(bytes(2**20))
    hostile.refused(file.getvalue(), tmp_path, "implausible for weights")


def test_an_entry_unpacks_to_no_more_than_it_promises(tmp_path):
    data = bytearray(_zip(a=hostile.npy(np.zeros(5_000_000))))
    at = data.rindex(b"PK\x01\x02") + 24  # the size, in the directory
    data[at : at + 4] = struct.pack("<I", 1000)
    hostile.refused(bytes(data), tmp_path, "cannot be read")


def test_a_file_may_promise_so_much_in_all(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    hostile.refused(_zip(a=hostile.npy(hostile.ONES)), tmp_path, "implausible for weights")


def test_other_ways_to_compress_are_refused(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2) as zipped:
        zipped.writestr("a.npy", hostile.npy(hostile.ONES))
    hostile.refused(
        file.getvalue(), tmp_path, "compressed with a method that numpy and torch never use"
    )


def test_a_name_that_is_twice_is_refused(tmp_path):
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as zipped:
        warnings.simplefilter("ignore")
        zipped.writestr("a.npy", hostile.npy(hostile.ONES))
        zipped.writestr("a.npy", hostile.npy(hostile.ONES))
    hostile.refused(file.getvalue(), tmp_path, "contains 'a.npy' twice")


# safetensors


def _safetensors(header, data=bytes(24), length=None) -> bytes:
    header_bytes = json.dumps(header).encode()
    return struct.pack("<Q", len(header_bytes) if length is None else length) + header_bytes + data


def _told(shape=(2, 3), offsets=(0, 24), dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "data",
    [
        _safetensors({"a": _told()}, length=2**60),
        _safetensors({"a": _told()}, length=2**63),
        _safetensors({"a": _told()}, length=10),
        _safetensors({"a": _told(shape=(10**15,))}),
        _safetensors({"a": _told(shape=(2**63, 2**63))}),
        _safetensors({"a": _told(shape=(-2, -3))}),
        _safetensors({"a": _told(offsets=(0, 10**15))}),
        _safetensors({"a": _told(offsets=(24, 0))}),
        _safetensors({"a": _told(offsets=(24, 48))}),
        _safetensors({"a": _told(), "b": _told()}),
        _safetensors({"a": _told(), "b": _told(offsets=(12, 36))}, bytes(36)),
        _safetensors({"a": _told(dtype="OBJECT")}),
        _safetensors({"a": 1}),
    ],
)
def test_safetensors_that_lie_are_refused(data, tmp_path):
    hostile.refused(data, tmp_path, "does not have the safetensors format")


# Whatever happens on the way


def _files():
    named = {"conv1.weight": hostile.ONES, "a": np.arange(5), "b": hostile.ONES.astype(np.float16)}
    npz, packed = io.BytesIO(), io.BytesIO()
    np.savez(npz, **named)
    np.savez_compressed(packed, **named)
    return {
        "safetensors": safetensors.numpy.save(named),
        "npz": npz.getvalue(),
        "packed": packed.getvalue(),
        "zip": weights.torch_zip({"state_dict": weights.tensors(named), "epoch": 3}),
        "legacy": weights.torch_legacy({"state_dict": weights.tensors(named), "epoch": 3}),
    }


FILES = _files()
PICKLES = {
    protocol: pickle.dumps({"a": hostile.ONES, "b": [hostile.ONES, 3]}, protocol)
    for protocol in range(6)
}


@pytest.mark.parametrize("form", FILES)
def test_a_truncated_file_is_refused_wherever_it_ends(form, tmp_path):
    data = FILES[form]
    assert set(hostile.read(data, tmp_path)) >= {"a"} or "state_dict.a" in hostile.read(
        data, tmp_path
    )
    for size in range(len(data)):
        assert isinstance(hostile.read(data[:size], tmp_path), ValueError), size


@pytest.mark.parametrize("protocol", PICKLES)
def test_a_truncated_pickle_is_refused_wherever_it_ends(protocol, tmp_path):
    path, data = tmp_path / "x", PICKLES[protocol]
    path.write_bytes(data)
    assert set(unpickling.read(path)) == {"a", "b/0"}
    for size in range(1, len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError):
            unpickling.read(path)


def _flipped(data, rng):
    """With a few bytes changed: one bit, any value, or a value that means much."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(data))
        data[at] = rng.choice((data[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0, 255))
    return bytes(data)


@pytest.mark.parametrize("form", FILES)
def test_a_damaged_file_gives_arrays_or_an_error(form, tmp_path):
    rng = random.Random(form)
    for _ in range(400):
        found = hostile.read(_flipped(FILES[form], rng), tmp_path)
        assert isinstance(found, (dict, ValueError, OSError))


@pytest.mark.parametrize("protocol", PICKLES)
def test_a_damaged_pickle_gives_arrays_or_an_error(protocol, tmp_path):
    rng, source = random.Random(protocol), tmp_path / "x"
    tracemalloc.start()
    for _ in range(200):
        source.write_bytes(_flipped(PICKLES[protocol], rng))
        try:
            foreign.unpickle(source, tmp_path / "y.npz")
            (tmp_path / "y.npz").unlink()
        except (ValueError, OSError):
            pass
        assert list(tmp_path.iterdir()) == [source]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < hostile.MOST
