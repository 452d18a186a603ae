"""XLA's settings that have to be made before the first array: fast CPU code, a compilation cache."""

import os
from pathlib import Path

_FUSION = "--xla_cpu_experimental_ynn_fusion_type"
# Elementwise work in that library slows a ResNet's step by a tenth or more, views by ten times.
# What is not named stays with XLA: so do convolutions, of whose filter gradients Eigen makes twice
# as many in the same time (64 channels of 32 x 32: 99 GFLOP per core and second, and 46).
_FUSIONS = "LIBRARY_FUSION_TYPE_REDUCE"


def prefer_fast_cpu() -> None:
    """Lets XLA:CPU reduce with its library, which shortens a ResNet's step by a tenth; call it first.

    Does nothing where XLA_FLAGS sets the same flag.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _FUSION not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_FUSION}={_FUSIONS}".strip()


def keep_compiled() -> None:
    """Keeps programs that took a second or more to compile, in ~/.cache/byol_jax, for later starts.

    Does nothing where JAX_COMPILATION_CACHE_DIR names a folder.
    """
    import jax  # here, so that the command line can set flags without loading it

    if jax.config.jax_compilation_cache_dir is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        jax.config.update("jax_compilation_cache_dir", str(cache / "byol_jax" / "compiled"))
