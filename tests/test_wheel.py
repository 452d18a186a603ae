"""The wheel, installed alone into a new environment, trains from an empty folder."""

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
