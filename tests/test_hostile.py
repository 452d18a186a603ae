"""No file of weights can run code, lead out of its place, or take memory that it does not have."""

import io
import pickle
import pickletools
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from byol_jax.encoders import foreign
from byol_jax.encoders.foreign import pickles, tensors, unpickling
from support import hostile, weights

# Code


@pytest.mark.parametrize("kind", [hostile.Writes, hostile.Evaluates])
def test_what_these_tests_fear_is_real(kind, tmp_path):
    pickle.loads(pickle.dumps(kind(tmp_path / "owned")))
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize("kind", [hostile.Writes, hostile.Evaluates])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_not_loaded(kind, protocol, tmp_path):
    data = pickle.dumps({"a": hostile.ONES, "b": kind(tmp_path / "owned")}, protocol)
    hostile.refused(data, tmp_path, "can run any code.*byol_jax unpickle")


@pytest.mark.parametrize("write", [weights.torch_zip, weights.torch_legacy])
@pytest.mark.parametrize("kind", [hostile.Writes, hostile.Evaluates])
def test_torchs_files_run_nothing(kind, write, tmp_path):
    tree = {"a": weights.Tensor(hostile.ONES), "b": kind(tmp_path / "owned")}
    hostile.refused(
        write(tree), tmp_path, r"refers to '(__builtin__.getattr|pathlib.Path.touch|\w+.eval)'.*not"
    )


@pytest.mark.parametrize("kind", [hostile.Writes, hostile.Evaluates])
@pytest.mark.parametrize("write", [pickle.dumps, weights.torch_zip, weights.torch_legacy])
def test_unpickle_takes_the_arrays_and_runs_nothing(kind, write, tmp_path):
    wrap = np.asarray if write is pickle.dumps else weights.Tensor
    source, out = tmp_path / "x.pkl", tmp_path / "y.npz"
    source.write_bytes(write({"a": wrap(hostile.ONES), "b": kind(tmp_path / "owned")}))
    foreign.unpickle(source, out)
    assert sorted(tmp_path.iterdir()) == [source, out]
    np.testing.assert_array_equal(tensors.read(out)["a"], hostile.ONES)


def test_the_machine_calls_nothing_by_any_instruction(tmp_path):
    touch = f"cposix\nsystem\n(V touch {tmp_path}/owned\ntR".encode()
    forms = [
        touch,
        f"(V touch {tmp_path}/owned\niposix\nsystem\n".encode(),
        f"(cposix\nsystem\nV touch {tmp_path}/owned\no".encode(),
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93(V touch "
        + f"{tmp_path}/owned\nt\x81".encode("latin1"),
        b"\x80\x04cposix\nsystem\n(V touch " + f"{tmp_path}/owned\nt}}\x92".encode("latin1"),
        b"cbuiltins\nobject\n)R" + touch + b"b",
        b"\x80\x02]" + touch + b"a",
        b"}" + touch + touch + b"s",
    ]
    for form in forms:
        pickletools.dis(form + b".", io.StringIO())
        pickles.read(io.BytesIO(form + b"."))
    assert not list(tmp_path.iterdir())


# Memory and time


def _nested(times, pair):
    tree = 1
    for _ in range(times):
        tree = pair(tree)
    return tree


BOMBS = {
    "list of the same lists": ("far more memory", pickle.dumps(_nested(50, lambda x: [x, x]))),
    "calls of the same calls": (
        "far more memory",
        b"\x80\x02K\x01" + b"q\x00cos\nsystem\nh\x00h\x00\x86R" * 50 + b".",
    ),
    "deep list": ("far more memory", b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."),
    "key that is hashed for ever": ("no arrays", b"}K\x01" + b"2\x86" * 60 + b"K\x01s."),
    "memo at 4,000,000,000": ("no arrays", b"\x80\x02K\x01r\xff\xff\xff\xff."),
    "frame": ("no arrays", b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"K\x01."),
    "bytes": ("only 2 remain", b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x."),
    "bytearray": ("only 2 remain", b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x."),
    "text": ("only 2 remain", b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x."),
    "long": ("not enough data", b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x."),
    "digits": ("4300 digits", b"L" + b"9" * 100_000 + b"L\n."),
    "persistent": ("no arrays", b"P" + b"x" * 1000 + b"\n."),
    "extension": ("instruction EXT4", b"\x80\x02\x84\xff\xff\xff\x7f."),
    "buffer": ("instruction NEXT_BUFFER", b"\x80\x05\x97."),
}


def _array_pickle(shape, data, code="f4"):
    """As numpy has it, of any shape and any bytes."""
    return (
        b"\x80\x04cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR(K\x01"
        + pickle.dumps(shape, 2)[2:-1]
        + f"cnumpy\ndtype\n(V{code}\n\x89\x88tR".encode("latin1")
        + b"(K\x03V<\nNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + pickle.dumps(data, 3)[2:-1]
        + b"tb."
    )


BOMBS |= {
    "numpy shape": ("has 4 bytes for it", _array_pickle((10**12,), b"1234")),
    "numpy shape of many sides": ("an invalid shape", _array_pickle((1,) * 1000, b"1234")),
    "numpy shape below 0": ("an invalid shape", _array_pickle((-1, -1), b"1234")),
    "numpy shape of whatever": ("an invalid shape", _array_pickle(("a",), b"1234")),
    "numpy empty and huge": ("too big", _array_pickle((0, 10**13, 10**13), b"")),
    "numpy objects": ("array of Python objects", _array_pickle((1,), b"12345678", "O8")),
    "numpy records": ("no arrays", _array_pickle((1,), b"12345678", "V8")),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_does_not_go_off(bomb, tmp_path):
    path = tmp_path / "x"
    words, data = BOMBS[bomb]
    path.write_bytes(data)
    tracemalloc.start()
    begun = time.monotonic()
    try:
        with pytest.raises(ValueError, match=words):
            unpickling.read(path)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < hostile.MOST and time.monotonic() - begun < 60


def test_the_pickle_of_an_array_that_the_bombs_use_is_one(tmp_path):
    (tmp_path / "x").write_bytes(_array_pickle((2, 3), hostile.ONES.tobytes()))
    np.testing.assert_array_equal(unpickling.read(tmp_path / "x")["array"], hostile.ONES)


def test_one_array_under_many_names_is_refused(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(pickle.dumps([np.zeros(10_000)] * 1000))
    with pytest.raises(ValueError, match="far more memory"):
        unpickling.read(path)
    tensor = weights.Tensor(np.zeros(10_000, np.float32))
    hostile.refused(weights.torch_zip([tensor] * 1000), tmp_path, "far more memory")


def test_a_pickle_of_too_many_instructions_is_refused(monkeypatch):
    monkeypatch.setattr(pickles, "MAX_STEPS", 10)
    with pytest.raises(ValueError, match="more than 10 instructions"):
        pickles.read(io.BytesIO(pickle.dumps(list(range(20)), 0)))


# torch


@pytest.mark.parametrize("write", [weights.torch_zip, weights.torch_legacy])
@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"strides": (10**13, 1)}, "larger than its storage"),
        ({"size": (10**13, 1), "strides": (0, 0)}, "larger than its storage"),
        ({"size": (10**30, 1)}, "an invalid shape"),
        ({"size": (3, 3)}, "larger than its storage"),
        ({"size": (7, 1), "strides": (0, 1)}, "larger than its storage"),
        ({"offset": 1}, "larger than its storage"),
        ({"offset": -1}, "invalid strides"),
        ({"strides": (-1, 1)}, "an invalid shape"),
        ({"strides": (1,)}, "invalid strides"),
        ({"size": (0, 10**14, 10**14), "strides": (1, 1, 1)}, "cannot be read"),
        ({"count": 10**15}, "different length|ends before"),
        ({"count": 7}, "different length|ends before"),
        ({"count": -1}, "different length|ends before|larger than"),
    ],
)
def test_tensors_that_are_larger_than_their_storage_are_refused(write, lie, words, tmp_path):
    hostile.refused(write({"a": weights.Tensor(hostile.ONES, **lie)}), tmp_path, words)


def test_torchs_zip_is_not_compressed(tmp_path):
    data = weights.torch_zip({"a": weights.Tensor(hostile.ONES)}, compression=zipfile.ZIP_DEFLATED)
    hostile.refused(data, tmp_path, "compressed entries")


@pytest.mark.parametrize("names", ["../{}", "/{}", "a/../../{}", "..\\{}", "C:/{}", "a\n/{}"])
def test_names_that_lead_out_are_refused(names, tmp_path):
    hostile.refused(
        weights.torch_zip({"a": weights.Tensor(hostile.ONES)}, names=names),
        tmp_path,
        "points outside",
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr(names.format("a.npy"), hostile.npy(hostile.ONES))
    hostile.refused(file.getvalue(), tmp_path, "points outside")
    source = tmp_path / "x"
    source.write_bytes(pickle.dumps({names.format("a"): hostile.ONES}))
    with pytest.raises(ValueError, match="points outside"):
        foreign.unpickle(source, tmp_path / "y.npz")
    assert list(tmp_path.iterdir()) == [source]
