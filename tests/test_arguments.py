"""Command lines: what they leave out, and what they say when something is wrong."""

import subprocess
import sys

import pytest

from byol_jax import arguments


def test_a_config_is_found_in_the_package_when_not_here(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/x.py").write_text("")
    monkeypatch.setattr(arguments, "__file__", str(tmp_path / "arguments.py"))
    found = arguments.find_config("--config=configs/x.py:option")
    assert found == f"--config={tmp_path}/configs/x.py:option"
    assert arguments.find_config("--config=elsewhere.py") == "--config=elsewhere.py"
    assert arguments.find_config("--workdir=configs/x.py") == "--workdir=configs/x.py"


def test_commands_on_a_run_take_its_config(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    given = ["evaluate", f"--workdir={tmp_path}", "--protocol=knn"]
    completed = arguments.with_saved_config(given)
    assert completed[1].endswith(f"saved.py:{tmp_path}") and completed[::2] == [given[0], given[1]]
    given = ["evaluate", "--encoder=f", "--config.data.name=x"]
    assert arguments.with_saved_config(given)[1].endswith("saved.py:")
    for given in (["evaluate", "--workdir=w", "--config=c.py"], ["train", "--workdir=w"], []):
        assert arguments.with_saved_config(given) == given
    with pytest.raises(SystemExit, match="has no config.json; give the --workdir of a run"):
        arguments.with_saved_config(["export", f"--workdir={tmp_path / 'none'}"])


def _command(*given):
    command = [sys.executable, "-m", "byol_jax", *given]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("embed", "--images=x", "--out=y.npz"), "embed needs --encoder or --workdir, one of them"),
        (("export", "--out=y"), "export needs --encoder or --workdir, one of them"),
        (("report", "--out=y"), "report needs the workdirs of runs"),
        (("report", "x"), "report needs --out"),
        (("import",), "import needs --weights and --out"),
        (("unpickle",), "unpickle needs --source and --out"),
    ],
)
def test_commands_say_what_they_need(given, words):
    done = _command(*given)
    assert done.returncode != 0 and words in done.stdout + done.stderr


def test_an_error_of_ours_is_told_without_a_traceback(tmp_path):
    done = _command("import", f"--weights={tmp_path / 'none'}", f"--out={tmp_path / 'out'}")
    assert done.returncode == 1 and done.stderr.startswith("byol_jax: ")
    assert "Traceback" not in done.stderr and "none" in done.stderr
