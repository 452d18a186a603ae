"""README and docs: every code block does what its mark says, and every link leads somewhere."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from byol_jax import main
from byol_jax.commands import arguments
from byol_jax.config import check
from byol_jax.encoders import file as encoder_files
from support import blocks, pictures, small_encoders

PAGES = [str(page.relative_to(blocks.ROOT)) for page in blocks.pages()]
WITH_PYTHON = [
    page
    for page in PAGES
    if any(block.language == "python" for block in blocks.blocks(blocks.ROOT / page))
]
WITH_COMMANDS = [
    page
    for page in PAGES
    if any(
        block.language == "bash" and block.kind != "parse only"
        for block in blocks.blocks(blocks.ROOT / page)
    )
]


def _of(page: str, language: str) -> list[blocks.Block]:
    return [block for block in blocks.blocks(blocks.ROOT / page) if block.language == language]


def _photos(folder: pathlib.Path) -> None:
    pictures.folder(folder / "photos/cats", 12)
    pictures.folder(folder / "photos/dogs", 12)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with photos and an untrained encoder in runs/quickstart."""
    encoder = {"name": "resnet", "stages": [1, 1, 1], "widths": [24, 48, 96], "stem": "strided"}
    made = small_encoders.make(encoder=encoder, image_shape=(28, 28, 1), view={"size": 28})
    file = tmp_path / "runs/quickstart/encoder.safetensors"
    encoder_files.write(file, made.params, made.stats, made.info)
    _photos(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_the_python_blocks_of_a_page_run_in_order(page, folder, capsys):
    program = {}
    for block in _of(page, "python"):
        assert block.kind != "parse only", "Python blocks run"
        exec(compile(block.code, page, "exec"), program)
    printed = capsys.readouterr().out
    if page == "docs/guides/after_training.md":
        lines = printed.splitlines()
        assert lines[0] == "1.00  cats/7.png"
        accuracy = re.fullmatch(r"(.+)% of the test images with 100 labels", lines[-1])
        assert accuracy and float(accuracy[1]) > 30  # even random features are worth something


def test_the_loss_of_the_guide_is_that_of_one_large_batch(folder):
    program = {}
    for block in _of("docs/guides/loss.md", "python")[:2]:
        exec(block.code, program)
    jax, losses = program["jax"], program["losses"]

    def whole(weights):
        projections = program["a"] @ weights, program["b"] @ weights
        return losses.nt_xent(*projections, temperature=0.1).mean()

    expected = jax.grad(whole)(program["weights"])
    assert abs(program["grads"][0] - expected).max() < 1e-5


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_are_valid(page):
    for block in _of(page, "bash"):
        subprocess.run(["bash", "-n", "-c", block.printed], check=True)
        for line in block.printed.splitlines():
            words = shlex.split(line)
            if "byol_jax" in words and "-m" in words:
                _parse(words[words.index("byol_jax") + 1 :])


def _parse(words: list[str]) -> None:
    """Parses a command line of the program, and checks its config."""
    module = main.load(words[0])
    parser = arguments.Parser(words[0], summary="-", example="-")
    module.add_arguments(parser)
    flags = parser.parse(words[1:])
    if getattr(flags, "config", None) is not None:
        flags.config = str(blocks.ROOT / flags.config)
        check.check(arguments.load_config(flags))


def test_parsed_blocks_have_a_reason_and_most_blocks_run():
    every = [block for page in blocks.pages() for block in blocks.blocks(page)]
    parsed = [block for block in every if block.kind == "parse only"]
    assert all(len(block.reason) > 10 for block in parsed)
    assert len(parsed) < len(every) / 2


def test_continuous_integration_runs_the_test_command_of_readme():
    (command,) = [b.printed for b in _of("README.md", "bash") if "pytest" in b.printed]
    installs = command.split(" && ", 2)[2].strip()
    assert installs in (blocks.ROOT / ".ci/run").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    """Links to files exist, and links to headings name a heading of that file."""
    path = blocks.ROOT / page
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        name, _, heading = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        written_by_sphinx = file.parent.name == "reference" and not file.exists()
        assert written_by_sphinx or file.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert heading in slugs, target


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """runs/quickstart, trained by README's command, run small."""
    folder = tmp_path_factory.mktemp("quickstart")
    _links(folder)
    (command,) = [b for b in _of("README.md", "bash") if "quickstart" in b.code]
    _run(command.code, folder)
    return folder / "runs"


def _links(folder: pathlib.Path) -> None:
    for name in ("configs", "launch", "byol_jax"):
        (folder / name).symlink_to(blocks.ROOT / name)


def _run(code: str, folder: pathlib.Path) -> None:
    here = pathlib.Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-e", "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_the_commands_of_a_page_run(page, quickstart, tmp_path):
    _links(tmp_path)
    _photos(tmp_path)
    shutil.copytree(quickstart, tmp_path / "runs")
    for block in _of(page, "bash"):
        if block.kind != "parse only":
            _run(block.code, tmp_path)
