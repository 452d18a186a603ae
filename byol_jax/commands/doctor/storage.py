"""Checks of disks, shared memory and the limits of this process."""

import contextlib
import os
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from byol_jax.commands.doctor.findings import OK, PROBLEM, WARNING, Finding
from byol_jax.system import cores

_CHUNK = 4 * 2**20
_MOST = 64 * 2**20  # bytes to write or read
_SECONDS = 3.0  # the longest time to write or read
_SLOW = 20e6  # bytes per second
_LOW_SPACE = 5 * 2**30
_SHARED = "/dev/shm"
_LITTLE_SHARED = 2**30
_FEW_FILES = 1024


def check_workdir(folder: str) -> Iterator[Finding]:
    """Writes a file into the folder of a run, reads it back, and removes it.

    Args:
        folder: The folder; missing ones are created, and removed afterwards.

    Yields:
        The rates and the free space, or the error.
    """
    path = Path(folder).expanduser()
    created = [parent for parent in (path, *path.parents) if not parent.exists()]
    scratch = path / f".byol_jax-doctor-{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        written = _write(scratch)
        read = _read([scratch])
        free = shutil.disk_usage(path).free
    except OSError as error:
        yield Finding(
            "workdir",
            f"{folder}: cannot be written: {error.strerror or error}",
            PROBLEM,
            "choose a folder that you may write, or free space on its disk",
        )
        return
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()
            for parent in created:
                parent.rmdir()
    slow = min(written, read) < _SLOW
    yield Finding(
        "workdir",
        f"{folder}: writes {_rate(written)}, reads {_rate(read)}",
        WARNING if slow else OK,
        "checkpoints will be slow; use a local disk, and copy the results at the end"
        if slow
        else "",
    )
    low = free < _LOW_SPACE
    yield Finding(
        "free space",
        f"{_gib(free)} for the workdir",
        WARNING if low else OK,
        "a checkpoint of a ResNet-50 run needs up to 1 GiB; free space" if low else "",
    )


def check_data(folder: str) -> Iterator[Finding]:
    """Reads some files of a data set.

    Args:
        folder: The folder of the data set, or a file.

    Yields:
        The rate, or the error.
    """
    path = Path(folder).expanduser()
    try:
        files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
        rate = _read(files)
        missing = "it has no files" if path.exists() else "it does not exist"
        problem = "" if files else missing
    except OSError as error:
        rate = 0.0
        problem = error.strerror or str(error)
    if problem:
        yield Finding(
            "data",
            f"{folder}: cannot be read: {problem}",
            PROBLEM,
            "check the path, and whether its disk is mounted on this machine",
        )
        return
    slow = rate < _SLOW
    yield Finding(
        "data",
        f"{folder}: {len(files):,} files, reads {_rate(rate)}",
        WARNING if slow else OK,
        "reading will limit training; copy the data to a local disk" if slow else "",
    )


def check_limits() -> Iterator[Finding]:
    """Checks the shared memory, the memory and the number of open files.

    Yields:
        The findings.
    """
    if os.path.isdir(_SHARED):
        size = shutil.disk_usage(_SHARED).total
        little = size < _LITTLE_SHARED
        yield Finding(
            "shared memory",
            _gib(size),
            PROBLEM if little else OK,
            "the workers that read data pass batches through it, and die of a bus error when it is "
            "full; start Docker with --shm-size=8g, or mount an emptyDir of medium Memory at "
            "/dev/shm in Kubernetes"
            if little
            else "",
        )
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _memory_limit()
    allowed = (
        "" if limit is None or limit >= total else f", of which this process may use {_gib(limit)}"
    )
    yield Finding("host", f"{cores.count()} cores, {_gib(total)}{allowed}")
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 0 <= files < _FEW_FILES
    yield Finding(
        "open files",
        f"at most {files:,}",
        WARNING if few else OK,
        f"run ulimit -n {_FEW_FILES if most < 0 else min(most, 65536)}" if few else "",
    )


def _memory_limit() -> int | None:
    """Returns the memory limit of this process's control group in bytes."""
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(file).read_text(encoding="ascii").strip()
        except OSError:
            continue
        return int(text) if text.isdigit() else None
    return None


def _write(file: Path) -> float:
    """Writes random bytes to a file and to its disk; returns bytes per second."""
    chunk = os.urandom(_CHUNK)
    written = 0
    start = time.perf_counter()
    with file.open("wb", buffering=0) as opened:
        while written < _MOST and time.perf_counter() - start < _SECONDS:
            written += opened.write(chunk)
            os.fsync(opened.fileno())
    return written / (time.perf_counter() - start)


def _read(files: list[Path]) -> float:
    """Reads files, from their disk if the system can drop them from memory; bytes per second."""
    total = 0
    seconds = 0.0
    for file in files:
        with file.open("rb", buffering=0) as opened:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            start = time.perf_counter()
            while total < _MOST and seconds < _SECONDS and (data := opened.read(_CHUNK)):
                total += len(data)
            seconds += time.perf_counter() - start
        if total >= _MOST or seconds >= _SECONDS:
            break
    return total / max(seconds, 1e-9)


def _rate(rate: float) -> str:
    return f"{rate / 1e6:,.0f} MB/s"


def _gib(size: float) -> str:
    return f"{size / 2**30:,.2f} GiB"
