"""What a process needs before its first array, and where the state lives on its devices."""

import functools
import importlib.metadata
import os
import subprocess
from pathlib import Path

import chex
import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from byol_jax import train_step

_FUSION = "--xla_cpu_experimental_ynn_fusion_type"
# Elementwise work in that library slows a ResNet's step by a tenth or more, views by ten times.
# What is not named stays with XLA: so do convolutions, of whose filter gradients Eigen makes twice
# as many in the same time (64 channels of 32 x 32: 99 GFLOP per core and second, and 46).
_FUSIONS = "LIBRARY_FUSION_TYPE_REDUCE"


def prefer_fast_cpu() -> None:
    """Lets XLA:CPU reduce with its library, which shortens a ResNet's step by a tenth; call it first.

    Leaves XLA_FLAGS alone where they speak of it.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _FUSION not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_FUSION}={_FUSIONS}".strip()


def keep_compiled() -> None:
    """Keeps programs that took a second or more to compile, in ~/.cache/byol_jax, for later starts.

    Leaves a folder alone that JAX_COMPILATION_CACHE_DIR names.
    """
    if jax.config.jax_compilation_cache_dir is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        jax.config.update("jax_compilation_cache_dir", str(cache / "byol_jax" / "compiled"))


@functools.cache
def commit() -> str:
    """The code that runs: the commit of its clone, with "+" where files differ; else the version."""
    root = Path(__file__).parents[1]

    def git(*words):
        done = subprocess.run(
            ["git", "-C", root, *words], check=False, capture_output=True, text=True
        )
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        if (root / ".git").exists() and (found := git("rev-parse", "--short=12", "HEAD")):
            changed = git("status", "--porcelain", "--untracked-files=no", "--", "byol_jax")
            return found + ("+" if changed else "")
    except OSError:  # there is no git
        pass
    return importlib.metadata.version("byol_jax")


def replicate(tree: chex.ArrayTree) -> chex.ArrayTree:
    """Places a copy of every array on each of this process's devices.

    By way of the host, so that the copies share no memory with `tree` and may be donated.
    """
    mesh = Mesh(jax.local_devices(), train_step.AXIS)
    return jax.device_put(jax.device_get(tree), NamedSharding(mesh, PartitionSpec()))


def shard(batch: dict) -> dict[str, jax.Array]:
    """Places on every device its part: leaves [B, …] of this process become [devices, B / devices, …]."""
    devices = jax.local_devices()
    parts = NamedSharding(Mesh(devices, train_step.AXIS), PartitionSpec(train_step.AXIS))
    dealt = {name: x.reshape(len(devices), -1, *x.shape[1:]) for name, x in batch.items()}
    return jax.device_put(dealt, parts)


def check_batch_size(batch_size: int, microbatches: int, num_devices: int | None = None) -> None:
    """Raises ValueError, with a size that works, when the batch does not divide over the devices.

    num_devices: all that there are, unless given.
    """
    devices = num_devices or jax.device_count()
    parts = devices * microbatches
    if batch_size % parts or batch_size < 1:
        over = f"{devices} devices" + (f" x {microbatches} microbatches" * (microbatches > 1))
        raise ValueError(
            f"batch_size ({batch_size}) must divide evenly over {over}; "
            f"try {max(batch_size // parts, 1) * parts}."
        )
