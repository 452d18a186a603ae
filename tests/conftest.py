"""Strict JAX for every test: 4 CPU devices, and no silent promotion of types or ranks.

BYOL_JAX_PLATFORM=gpu or tpu runs the tests on the devices of that platform. Some then need more
devices than there are, and fail; launch/accelerator.sh runs those that one device can pass.
"""

import os
import tempfile

# Most of a test's time goes into compiling; the least optimized code is compiled soonest.
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0 " + os.environ.get("XLA_FLAGS", "")

import jax

from support import recorded

if recorded.PLATFORM == "cpu":
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", max(4, recorded.num_devices()))
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_debug_key_reuse", True)

_COMPILED = tempfile.TemporaryDirectory(prefix="byol_jax-compiled-")  # removed at the end
jax.config.update("jax_compilation_cache_dir", _COMPILED.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
