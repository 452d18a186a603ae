"""A type checker accepts README's and the guides' code, and sees the types of the public names."""

import json
import subprocess
import sys

import pytest

from support import blocks

USER = """
from typing import assert_type

import jax
import numpy as np
import byol_jax
from byol_jax import ema, encoders, losses, methods, networks

encoder = byol_jax.load_encoder("runs/quickstart")
assert_type(encoder, encoders.Encoder)
assert_type(encoder(np.zeros((1, 28, 28, 1), np.uint8)), np.ndarray)
a = jax.numpy.ones((2, 3))
assert_type(losses.nt_xent(a, a, temperature=0.1), jax.Array)
method = methods.simclr(networks.resnet_tiny(), networks.mlp((8, 8)))
assert_type(method, methods.Method)
params, stats, memory = method.init(jax.random.key(0), (jax.numpy.ones((2, 8, 8, 3)),) * 2)
assert_type(ema.update({"a": a}, {"a": a}, decay=0.9)["a"], jax.Array)
print(params["encoder"])
"""
WRONG = """
import byol_jax
from byol_jax import losses

losses.nt_xent("a", "b", temperature=0.1)
byol_jax.load_encoder(3)
"""


def _errors(folder, programs: dict[str, str]) -> list[str]:
    """The errors of basedpyright in its basic mode, with the defaults of a user's project."""
    for name, text in programs.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    settings = {"typeCheckingMode": "basic", "extraPaths": [str(blocks.ROOT)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--project", str(folder)]
    command += ["--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True)
    diagnostics = json.loads(done.stdout)["generalDiagnostics"]
    return [
        f"{row['file']}:{row['range']['start']['line'] + 1}: {row['message']}"
        for row in diagnostics
        if row["severity"] == "error"
    ]


def _program(page) -> str:
    return "\n".join(b.printed for b in blocks.blocks(page) if b.language == "python")


@pytest.mark.slow
def test_the_code_of_readme_and_of_the_guides_type_checks(tmp_path):
    programs = {page.stem: _program(page) for page in blocks.pages()}
    programs = {name: text for name, text in programs.items() if text}
    assert {"README", "loss", "own_loop", "after_training"} <= programs.keys()
    assert _errors(tmp_path, programs) == []


@pytest.mark.slow
def test_a_users_ten_lines_type_check_and_their_mistakes_do_not(tmp_path):
    assert _errors(tmp_path, {"user": USER}) == []
    assert len(_errors(tmp_path, {"user": "", "wrong": WRONG})) == 3
