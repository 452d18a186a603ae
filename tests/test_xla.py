"""What a process sets before its first array."""

import jax
import pytest

from byol_jax.system import xla


@pytest.fixture
def cache_dir():
    before = jax.config.jax_compilation_cache_dir
    yield lambda: jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", before)


def test_compiled_programs_are_kept_unless_a_folder_is_named(cache_dir, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", "elsewhere")
    xla.keep_compiled()
    assert cache_dir() == "elsewhere"
    jax.config.update("jax_compilation_cache_dir", None)
    xla.keep_compiled()
    assert cache_dir() == str(tmp_path / "byol_jax" / "compiled")


def test_the_cpus_flag_is_set_unless_the_user_speaks_of_it(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_other=1")
    xla.prefer_fast_cpu()
    flags = xla.os.environ["XLA_FLAGS"]
    assert flags.startswith("--xla_other=1 ") and flags.endswith("=LIBRARY_FUSION_TYPE_REDUCE")
    xla.prefer_fast_cpu()
    assert xla.os.environ["XLA_FLAGS"] == flags
