"""The README's code runs as it is printed, on a smaller network."""

import pathlib
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from byol_jax.encoders import file as encoder_files
from support import pictures, small_encoders

README = pathlib.Path(__file__).parent.parent / "README.md"


def _block(marker):
    """The one indented block that holds the marker."""
    blocks, lines = [], []
    for line in [*README.read_text(encoding="utf-8").splitlines(), "end"]:
        if line.startswith("    ") or not line:
            lines.append(line)
        else:
            blocks.append("\n".join(lines))
            lines = []
    (found,) = [block for block in blocks if marker in block]
    return textwrap.dedent(found)


def _run(code, space):
    exec(code, space)  # noqa: S102


def test_the_loss_in_plain_code_and_inside_pmap():
    rows = jax.random.normal(jax.random.key(0), (2, 4, 8, 3))
    space = {"a": rows[0, 0], "b": rows[1, 0], "jax": jax, "network": lambda w, x: x @ w}
    _run(_block("losses.nt_xent(a, b, temperature=0.1)  #"), space)
    assert space["each"].shape == (8,)
    _run(_block("def loss(params"), space)
    weights = jnp.eye(3)
    grads = space["grads"](jnp.stack([weights] * 4), rows[0], rows[1])

    def whole(w):
        a, b = rows.reshape(2, 32, 3) @ w
        return space["losses"].nt_xent(a, b, temperature=0.1).mean()

    np.testing.assert_allclose(grads[2], jax.grad(whole)(weights), rtol=1e-4, atol=1e-6)


def test_the_train_step_in_ones_own_loop():
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    space = {"images": images, "index": np.arange(8, dtype=np.int32)}
    code = _block("step = jax.jit(train_step.make").replace('"resnet18"', '"resnet_tiny"')
    _run(code, space)
    assert int(space["state"].step) == 1 and np.isfinite(space["metrics"]["loss"])


@pytest.fixture
def quickstart(tmp_path, monkeypatch):
    """A folder with the quickstart's encoder, not trained, in runs/quickstart, and photos."""
    encoder = {"name": "resnet", "stages": [1, 1, 1], "widths": [24, 48, 96], "stem": "strided"}
    made = small_encoders.make(encoder=encoder, image_shape=(28, 28, 1), view={"size": 28})
    file = tmp_path / "runs/quickstart/encoder.safetensors"
    encoder_files.write(file, made.params, made.stats, made.about)
    pictures.folder(tmp_path / "photos/cats", 12)
    monkeypatch.chdir(tmp_path)


def test_image_search_finds_the_picture_itself_first(quickstart, capsys):
    _run(_block('found.paths.index("cats/7.png")'), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10 and lines[0] == "1.00  cats/7.png"


def test_a_linear_classifier_on_ten_labels_a_class(quickstart, capsys):
    _run(_block("few = finetune.subset"), {})
    said = capsys.readouterr().out
    assert said.endswith("% of the test split by 100 labels\n")
    assert float(said.split("%")[0]) > 30  # a random network's features are worth something
