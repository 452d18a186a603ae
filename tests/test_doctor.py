"""`doctor` finds each fault that is injected, and shows no private name."""

import errno
import getpass
import importlib.metadata
import json
import os
import re
import shutil
import time
from collections import namedtuple

import jax
import pytest

from byol_jax import main
from byol_jax.commands.doctor import accelerators, decoding, findings, software, storage
from byol_jax.system import chips

Usage = namedtuple("Usage", "total used free")


def _verdicts(found):
    return {finding.name: finding for finding in found}


def _doctor(capsys, *flags):
    with pytest.raises(SystemExit) as end:
        main.run(["doctor", *map(str, flags)])
    return end.value.code, capsys.readouterr().out


@pytest.fixture
def fast(monkeypatch):
    """Shorter measurements, for tests that do not look at the rates."""
    monkeypatch.setattr(accelerators, "_SECONDS", 1e-4)
    monkeypatch.setattr(accelerators, "_ROUNDS", 1)
    monkeypatch.setattr(decoding, "_SECONDS", 1e-3)


def test_a_machine_without_faults_exits_with_0(fast, capsys, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jpg").write_bytes(bytes(1000))
    workdir = tmp_path / "runs" / "new"
    code, text = _doctor(capsys, f"--workdir={workdir}", f"--data={tmp_path / 'data'}", "--json")
    found = {finding["name"]: finding for finding in json.loads(text)}
    assert code == 0, text
    assert found["devices"]["value"].startswith("4 x cpu")
    rates = {"bfloat16 product", "float32 product", "memory bandwidth", "all-reduce", "decoding"}
    assert rates | {"workdir", "data", "packages", "open files"} <= set(found)
    assert not (tmp_path / "runs").exists()  # the folders that it made are gone


def test_a_version_that_does_not_fit_is_a_problem(fast, monkeypatch, capsys):
    def version(name, installed=importlib.metadata.version):
        return "0.1.2" if name == "jaxlib" else installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    code, text = _doctor(capsys)
    assert code == 1
    assert "problem  jaxlib                 0.1.2; jax needs jaxlib" in text
    assert "-> run pip install 'jaxlib" in text
    assert re.search(r"^problems: [12], warnings: \d$", text, re.M)  # byol_jax or jax needs it


def test_a_missing_package_is_a_problem_and_an_old_one_of_an_extra_a_warning(monkeypatch):
    def version(name, installed=importlib.metadata.version):
        if name == "optax":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.1" if name == "matplotlib" else installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = _verdicts(software.check())
    assert found["optax"].verdict == findings.PROBLEM
    assert "missing; byol_jax needs optax>=" in found["optax"].value
    assert found["matplotlib"].verdict == findings.WARNING


def test_a_full_disk_is_a_problem(fast, monkeypatch, capsys, tmp_path):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    code, text = _doctor(capsys, f"--workdir={tmp_path / 'full'}")
    assert code == 1
    assert "cannot be written: No space left on device" in text
    assert "-> choose a folder that you may write, or free space on its disk" in text
    assert list(tmp_path.iterdir()) == []


def test_a_workdir_that_is_a_file_is_a_problem_and_stays(tmp_path):
    file = tmp_path / "file"
    file.write_text("contents")
    (finding,) = storage.check_workdir(str(file))
    assert finding.verdict == findings.PROBLEM
    assert file.read_text() == "contents"


def test_little_free_space_is_a_warning(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40, 2**30))
    found = _verdicts(storage.check_workdir(str(tmp_path)))
    assert found["free space"].verdict == findings.WARNING
    assert found["free space"].value.startswith("1.00 GiB")


def test_a_small_shared_memory_is_a_problem(fast, monkeypatch, capsys):
    usage = shutil.disk_usage

    def small(path):
        return Usage(64 * 2**20, 0, 64 * 2**20) if path == "/dev/shm" else usage(path)

    monkeypatch.setattr(shutil, "disk_usage", small)
    monkeypatch.setattr(os.path, "isdir", lambda path: True)
    code, text = _doctor(capsys)
    assert code == 1
    assert "problem  shared memory          0.06 GiB" in text and "--shm-size=8g" in text


def test_a_slow_store_is_a_warning(monkeypatch, tmp_path):
    fsync = os.fsync

    def slow(descriptor):
        time.sleep(0.5)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    monkeypatch.setattr(storage, "_SECONDS", 1.0)
    found = _verdicts(storage.check_workdir(str(tmp_path)))
    assert found["workdir"].verdict == findings.WARNING
    assert "use a local disk" in found["workdir"].advice


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_data_that_are_not_there_are_a_problem(name, tmp_path):
    (tmp_path / "empty").mkdir()
    (finding,) = storage.check_data(str(tmp_path / name))
    assert finding.verdict == findings.PROBLEM
    assert ("it does not exist" if name == "missing" else "it has no files") in finding.value


def test_an_accelerator_that_jax_does_not_see_is_a_problem(monkeypatch):
    monkeypatch.setattr(
        accelerators.glob, "glob", lambda pattern: ["/dev/nvidia0"] if "nvidia" in pattern else []
    )
    found, _ = accelerators.check_devices()
    assert found[-1].verdict == findings.PROBLEM
    assert "byol_jax[cuda]" in found[-1].advice


def test_no_device_at_all_is_a_problem(monkeypatch):
    def fail():
        raise RuntimeError("Unable to initialize backend 'cuda': no driver\nlong trace")

    monkeypatch.setattr(jax, "local_devices", fail)
    (finding,), devices = accelerators.check_devices()
    assert finding.verdict == findings.PROBLEM and devices == []
    assert finding.value == "JAX finds none: Unable to initialize backend 'cuda': no driver"


class _Device:
    """A device of another kind, which computes on the CPU."""

    def __init__(self, free=1.0):
        self.device_kind = "NVIDIA H100 80GB HBM3"
        self.free = free

    def memory_stats(self):
        return {"bytes_limit": int(self.free * 80e9)}


def test_a_device_below_its_data_sheet_is_a_warning(monkeypatch):
    sheet = chips.CHIPS["h100"]
    monkeypatch.setattr(accelerators, "_product_rate", lambda *_: 0.3 * sheet.flops)
    monkeypatch.setattr(accelerators, "_copy_rate", lambda _: 0.9 * sheet.bandwidth)
    device = _Device()
    device.platform = "gpu"
    found, flops = accelerators.check_rates(device)
    found = _verdicts(found)
    assert found["bfloat16 product"].verdict == findings.WARNING
    assert "30% of the data sheet" in found["bfloat16 product"].value
    assert found["memory bandwidth"].verdict == findings.OK
    (decode,) = decoding.check(100 * flops)
    assert decode.verdict == findings.WARNING


@pytest.mark.parametrize(("free", "verdict"), [(0.75, findings.OK), (0.3, findings.WARNING)])
def test_a_device_that_another_program_uses_is_a_warning(free, verdict):
    (finding,) = accelerators.check_memory(_Device(free))
    assert finding.verdict == verdict


@pytest.mark.parametrize("name", chips.CHIPS)
def test_a_data_sheet_belongs_to_one_kind_of_device(name):
    kind = chips.CHIPS[name].kind
    assert [other for other, chip in chips.CHIPS.items() if kind in chip.kind] == [name]
    assert chips.find(f"NVIDIA {kind}") is chips.CHIPS[name]
    assert chips.find("cpu") is None


def test_the_page_shows_no_private_name(monkeypatch):
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setattr(getpass, "getuser", lambda: "alice")
    secret = "s3://key:token@bucket/alice?signature=abc /home/alice/runs"
    found = [findings.Finding("workdir", secret, findings.WARNING, "look at /data/alice")]
    for text in (findings.page(found), findings.as_json(found)):
        for private in ("alice", "token", "abc", "key"):
            assert private not in text
        assert "~/runs" in text and "/data/USER" in text
