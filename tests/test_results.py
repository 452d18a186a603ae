"""The tables and figures of the results page agree with the recorded runs."""

import json
import re
import statistics
import time

import pytest

import augmentation_pairs as pairs
import tables


def test_the_page_says_what_the_files_say():
    text = tables.PAGE.read_text(encoding="utf-8")
    sections = {match[1] for match in tables.SECTION.finditer(text)}
    assert sections == set(tables.SECTIONS)
    assert tables.fill(text, tables.read()) == text, "run python launch/studies/tables.py"


def test_the_picture_shows_what_the_files_say():
    drawn = tables.PICTURE.read_text(encoding="utf-8")
    assert tables.digest(tables.read()) in drawn, "run python launch/studies/tables.py"


def test_every_result_tells_of_a_clean_commit_and_of_no_path():
    for file in tables.RESULTS.rglob("*.json"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r'"(/|~)', text), file
        assert not re.search(r'"commit": "[0-9a-f]*\+"', text), file
        if file.name == "evaluation.json" and not file.parent.name.startswith("lightly_"):
            assert re.search(r'"commit": "[0-9a-f]{12}"', text), file
    for name, runs in tables.read().items():
        seeds = [run.seed for run in runs]
        assert len(set(seeds)) == len(seeds), name


def test_the_heat_map_shows_what_its_record_says():
    record = json.loads(pairs.RECORD.read_text(encoding="utf-8"))
    drawn = pairs.PICTURE.read_text(encoding="utf-8")
    shown = tables.fingerprint(pairs.means(record))
    assert shown in drawn, "run python launch/studies/augmentation_pairs.py"
    commits = {row["commit"] for row in record.values()}
    assert all(re.fullmatch("[0-9a-f]{12}", commit) for commit in commits), commits


def test_the_heat_map_has_every_order_once():
    orders = pairs.orders()
    assert len(orders) == 1 + 6 + 15 == len(set(map(frozenset, orders.values())))
    rows = {f"{name}-{seed}": {"learned linear": 0.1 * seed} for name in orders for seed in (1, 2)}
    assert pairs.means(rows) == pytest.approx(dict.fromkeys(orders, 15.0))
    del rows["crop+jitter-1"], rows["crop+jitter-2"]
    with pytest.raises(statistics.StatisticsError):
        pairs.means(rows)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """The names of the runs that begin: they take 0.1 s, and train nothing."""
    begun = []

    def train(name, run):
        begun.append(name)
        time.sleep(0.1)
        return {"learned linear": 0.5}

    monkeypatch.setattr(pairs, "train", train)
    monkeypatch.setattr(pairs, "RECORD", tmp_path / "pairs.json")
    monkeypatch.setattr(pairs, "picture", lambda accuracy: None)
    monkeypatch.setattr("sys.argv", ["augmentation_pairs", "--seeds=0"])
    return begun


def test_a_pair_that_is_recorded_is_not_run_again(trained):
    pairs.RECORD.write_text('{"none-0": {"learned linear": 0.1}}')
    pairs.main()
    pairs.main()
    assert len(trained) == len(pairs.orders()) - 1 and "none-0" not in trained
    assert json.loads(pairs.RECORD.read_text()).keys() == {*trained, "none-0"}


def test_a_pair_that_fails_cancels_those_that_wait(trained, monkeypatch):
    def train(name, run, real=pairs.train):
        if name == "crop-0":
            raise OSError("the disk is full")
        return real(name, run)

    monkeypatch.setattr(pairs, "train", train)
    with pytest.raises(OSError, match="the disk is full"):
        pairs.main()
    assert len(trained) < len(pairs.orders()) / 2


def _result(folder, name, seed, accuracy, *, minutes=5.0, processor="2 x Zilog(R) Z80 Processor"):
    place = folder / f"{name}-{seed}"
    place.mkdir(parents=True)
    rows = {
        candidate: [
            {"protocol": p, "accuracy": a, "settings": {"step": step}}
            for p, a in zip(("knn", "linear"), both, strict=True)
        ]
        for candidate, (step, *both) in accuracy.items()
    }
    records = {
        "config": {"seed": seed, "epochs": 4.0},
        "evaluation": {"accuracy": rows},
        "machine": {"seconds": 60 * minutes, "processor": processor},
    }
    for kind, record in records.items():
        (place / f"{kind}.json").write_text(json.dumps(record))


@pytest.fixture
def results(tmp_path):
    ours = {
        "learned": (2000, 0.85, 0.86),
        "step 500": (500, 0.8, 0.81),
        "step 900": (900, 0.8, 0.83),
    }
    theirs = {**ours, "learned": (901, 0.75, 0.8)}
    _result(tmp_path, "byol", 0, {**ours, "raw pixels": (0, 0.5, 0.6)})
    other = {**ours, "learned": (2000, 0.87, 0.88)}
    _result(tmp_path, "byol", 1, other, minutes=6.0, processor="1 x 6502")
    _result(tmp_path, "lightly_byol", 1, theirs)
    _result(tmp_path, "cpc", 0, {"learned": (9, 0.7, 0.7)})
    return tables.read(tmp_path)


def test_means_deviations_and_single_runs(results):
    lines = tables.methods(results).splitlines()
    name, *cells = lines[2].strip("| ").split(" | ")
    assert name == "BYOL (`byol.py`)"
    assert cells == ["2", "4", "5.5 ± 0.7", "1 x 6502, 2 x Zilog Z80", "86.0 ± 1.4", "87.0 ± 1.4"]
    assert lines[3].endswith("| 1 | 4 | 5.0 | 2 x Zilog Z80 | 70.0 | 70.0 |")
    assert lines[-1] == "| raw pixels |  |  |  |  | 50.0 | 60.0 |"


def test_a_peer_stands_beside_the_runs_of_its_seeds_at_its_steps(results):
    table = tables.compare_with_lightly(results)
    assert "| BYOL, ours | 1 | 2000 | 87.0 | 88.0 | 81.0 | 83.0 |" in table
    assert "| BYOL, lightly | 1 | 901 | 75.0 | 80.0 | 81.0 | 83.0 |" in table
    assert "| BYOL, difference |  |  | 12.0 | 8.0 | 0.0 | 0.0 |" in table


def test_only_what_stands_between_the_marks_is_written_anew(results):
    text = "above\n<!-- methods -->\nold\n<!-- end -->\nbelow <!-- other -->"
    made = tables.fill(text, results)
    assert made.startswith("above\n<!-- methods -->\n| ") and made.endswith(
        "end -->\nbelow <!-- other -->"
    )
    assert "old" not in made and tables.fill(made, results) == made


def test_a_change_of_a_result_changes_the_digest(results, tmp_path):
    before = tables.digest(results)
    assert tables.digest(tables.read(tmp_path)) == before
    _result(tmp_path, "lightly_byol", 0, {"learned": (1, 0.1, 0.1)})
    assert tables.digest(tables.read(tmp_path)) != before
