"""The scripts of docs/guides/libraries: the losses in models of other libraries (extra: parity)."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "guides" / "libraries"
SCRIPTS = {
    "with_equinox.py": "equinox",
    "with_flax_nnx.py": "flax.nnx",
    "with_haiku.py": "haiku",
    "with_keras.py": "keras",
}

COMPARE = """
import runpy, sys
import jax, numpy as np
script = runpy.run_path(sys.argv[1])
assert jax.device_count() == 4
loss, grads = jax.device_get((script["loss"], script["grads"]))
want_loss, want_grads = jax.device_get(script["expected"])
np.testing.assert_allclose(loss, want_loss, rtol=1e-6)
leaves = jax.tree.leaves(want_grads)
assert max(abs(x).max() for x in leaves) > 1e-3
for x, y in zip(jax.tree.leaves(grads), leaves, strict=True):
    np.testing.assert_allclose(x, y, rtol=0, atol=1e-6)
print("compared", len(leaves))
"""


def test_each_script_of_the_folder_is_tested():
    assert {path.name for path in FOLDER.glob("*.py")} == set(SCRIPTS)


@pytest.mark.parametrize("script", list(SCRIPTS))
def test_four_devices_give_the_gradients_of_one(script):
    library = SCRIPTS[script]
    if importlib.util.find_spec(library.split(".")[0]) is None:
        pytest.skip(f"{library} is not installed; the extra parity installs it")
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, str(FOLDER / script)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "compared" in done.stdout
