"""The command line: its help, and mistakes, each answered by the fix."""

import compileall
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import byol_jax
from byol_jax import commands, main
from byol_jax.commands import arguments
from support import mistyped

TESTS = pathlib.Path(__file__).parent
ROOT = TESTS.parent


def _run(*words, **environment):
    command = [sys.executable, *map(str, words)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", **environment}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )


def _answers(folder, *flags):
    """Each line of mistyped.LINES: its exit code, its output, and the files that it leaves."""
    folder.mkdir()
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    done = _run(*flags, "-m", "support.mistyped", folder, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.replace(str(folder), "{}"))


def test_every_mistake_names_the_fix_with_and_without_assertions(tmp_path):
    answers = _answers(tmp_path / "plain")
    assert len(answers) >= 40
    for line, (code, text, left) in answers.items():
        assert code in (1, 2), line
        assert mistyped.LINES[line] in text, f"{line}: {text}"
        assert len(text.strip().splitlines()) <= 5 and "Traceback" not in text, f"{line}: {text}"
        assert left == [], line
    assert _answers(tmp_path / "optimized", "-O") == answers


def test_help_lists_the_commands_and_loads_no_jax():
    code = (
        "import sys; from byol_jax import main; main.run(['--help'])\n"
        "assert not {'jax', 'numpy'} & set(sys.modules)\n"
        "import resource; usage = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print('seconds', usage.ru_utime + usage.ru_stime)"
    )
    done = _run("-c", code)
    assert done.returncode == 0, done.stderr
    for name in commands.COMMANDS:
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE), name
    assert float(done.stdout.split()[-1]) < 0.5


def test_help_of_every_command_has_its_flags_and_an_example(capsys):
    for name in commands.COMMANDS:
        with pytest.raises(SystemExit) as end:
            main.run([name, "--help"])
        assert end.value.code == 0
        text = capsys.readouterr().out
        assert f"example:\n  python -m byol_jax {name} " in text and "--verbosity" in text, name


def test_the_example_of_every_command_is_a_command_line_that_it_takes():
    for name in commands.COMMANDS:
        module = main.load(name)
        parser = arguments.Parser(name, summary="x", example=module.EXAMPLE)
        module.add_arguments(parser)
        assert parser.parse(module.EXAMPLE.split()[1:]), name


def test_the_version(capsys):
    main.run(["--version"])
    assert capsys.readouterr().out == f"byol_jax {byol_jax.__version__}\n"


def test_every_command_has_its_file_and_no_other_is_there():
    folder = pathlib.Path(commands.__file__).parent
    shared = {"__init__", "arguments"}
    names = {path.stem for path in folder.iterdir() if path.stem != "__pycache__"}
    assert names - shared == {commands.MODULES.get(name, name) for name in commands.COMMANDS}


def test_a_flag_may_follow_as_a_word_of_its_own():
    words = ["--config.batch_size", "64", "--out=x", "--noconfig.report", "--config.tensorboard"]
    assert arguments._split_overrides(words) == (
        ["--out=x"],
        [("batch_size", "64"), ("report", "False"), ("tensorboard", "True")],
    )


def test_a_package_without_its_sources_reports_mistakes_in_one_line_too(tmp_path):
    """Whether an error is the user's is its class, not the text of the line that raised it."""
    package = tmp_path / "byol_jax"
    shutil.copytree(ROOT / "byol_jax", package, ignore=shutil.ignore_patterns("__pycache__"))
    assert compileall.compile_dir(package, quiet=1, legacy=True)
    for source in package.rglob("*.py"):
        source.unlink()
    words = ("-m", "byol_jax", "import", f"--weights={tmp_path / 'none'}", f"--out={tmp_path}/x")
    command = [sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("byol_jax: there is no file")
    assert len(done.stderr.splitlines()) == 1


def test_commands_say_which_files_they_wrote(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main.run(["preview", "--config=configs/quickstart.py", f"--out={tmp_path / 'v.png'}"])
    assert not end.value.code and (tmp_path / "v.png").exists()
    assert f"wrote {tmp_path / 'v.png'}" in capsys.readouterr().out
