"""In a new environment, the wheel trains from an empty folder; its losses need three packages."""

import json
import pathlib
import subprocess
import sys
import venv

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
def test_a_wheel_trains_an_epoch_from_an_empty_folder(tmp_path):
    wheels, environment, empty = (tmp_path / name for name in ("wheels", "environment", "empty"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, ROOT], check=True)
    (wheel,) = wheels.iterdir()
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    subprocess.run([python, *pip[1:], "install", wheel], check=True)
    empty.mkdir()
    flags = ["--config.epochs=1", "--config.evaluate.protocols=knn"]
    done = subprocess.run(
        [
            environment / "bin" / "byol_jax",
            "train",
            "--config=configs/quickstart.py",
            "--workdir=run",
            *flags,
        ],
        cwd=empty,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("encoder.safetensors", "evaluation.json", "report.html"):
        assert f"wrote {empty / 'run' / name}" in done.stdout, done.stdout
    record = json.loads((empty / "run/evaluation.json").read_text())
    assert record["step"] == 78 and len(record["accuracy"]) == 3


LOSSES = """
import importlib.metadata
import jax
from byol_jax import collectives, ema, losses, memory_bank, metrics, randomness, ring_buffer

a, b = jax.random.normal(jax.random.key(0), (2, 8, 4))
print(losses.nt_xent(a, b, temperature=0.1).shape)
print(ema.update(a, b, decay=0.5).shape)
print(sorted(d.name.lower() for d in importlib.metadata.distributions()))
"""


@pytest.mark.slow
def test_the_losses_need_only_jax_chex_and_optax(tmp_path):
    """The two commands of docs/installation.md, with this checkout as the folder."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "jax", "chex", "optax"], check=True)
    subprocess.run([*pip, "--no-deps", ROOT], check=True)
    done = subprocess.run(
        [python, "-c", LOSSES], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loss_shape, average_shape, packages = done.stdout.splitlines()
    assert loss_shape == "(8,)" and average_shape == "(8, 4)"
    for absent in ("flax", "ml_collections", "tensorflow-datasets", "pillow", "orbax-checkpoint"):
        assert absent not in packages
