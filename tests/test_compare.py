"""Finished runs in a table and a picture."""

import json
import sys

import pytest

from byol_jax.commands import compare


def _finished(folder, spread, published=None):
    folder.mkdir()
    lines = [{"step": n, "spread": spread * n, "feature_spread": 0.5} for n in range(1, 11)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "config.json").write_text(json.dumps({"published": published}))
    accuracy = {"learned": [{"protocol": "knn", "accuracy": 0.8125, "settings": {}}]}
    measures = {"learned": {"spread": 0.5, "effective_rank": 12.34}}
    record = {"step": 10, "accuracy": accuracy, "measures": measures}
    (folder / "evaluation.json").write_text(json.dumps(record))
    return compare.read(folder)


def test_runs_stand_side_by_side_in_a_table(tmp_path):
    runs = [_finished(tmp_path / "byol", 0.1, 72.5), _finished(tmp_path / "raft", 0.01)]
    head, _, byol, raft = compare.markdown(runs).splitlines()
    columns = "run | knn | projection spread | feature spread | effective rank | published"
    assert head == f"| {columns} |"
    assert byol == "| byol | 81.2 | 0.800 | 0.500 | 12.3 | 72.5 |"  # steps 6 to 10
    assert raft == "| raft | 81.2 | 0.080 | 0.500 | 12.3 | – |"


def test_a_picture_of_runs_is_drawn(tmp_path):
    runs = [_finished(tmp_path / "byol", 0.1)]
    compare.picture(runs, "spread", str(tmp_path / "spread.svg"))
    assert "<svg" in (tmp_path / "spread.svg").read_text()


def test_a_run_that_is_not_finished_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no config.json; give the workdirs of runs"):
        compare.read(tmp_path)


def test_a_missing_matplotlib_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'byol_jax\[plot\]'"):
        compare.picture([], "spread", str(tmp_path / "spread.svg"))


def test_a_metric_that_is_not_logged_names_the_nearest(tmp_path):
    runs = [_finished(tmp_path / "byol", 0.1)]
    with pytest.raises(ValueError, match="do not log 'spreed' .did you mean spread"):
        compare.picture(runs, "spreed", str(tmp_path / "spread.svg"))
