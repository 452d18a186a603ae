"""A run resumes exactly with every method, and mistakes are reported before they cost time."""

import collections
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from byol_jax import checkpoint, data, errors, methods
from byol_jax.builders import parts, views
from byol_jax.commands import compare, evaluate
from byol_jax.config import check, saved, sections
from byol_jax.system import devices
from byol_jax.training import train
from support import pictures, runs


def _config(kind, **changes):
    config = runs.small(kind)
    config.log_every_steps, config.checkpoint_every_steps = 1, 3
    config.evaluate.protocols, config.report = (), False
    config.update(changes)
    return config


def _last(workdir, config):
    with checkpoint.Checkpoints(workdir, keep=2) as checkpoints:
        return checkpoints.restore(runs.prepare(config, workdir).first)


def _lines(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    timed = ("images_per_second", "data_wait", "host_gib")
    return [{k: v for k, v in line.items() if k not in timed} for line in lines]


class _Killed(BaseException):
    """Not an Exception: like a kill, nothing may catch it."""


# Their states have the structure of another method's: RAFT's and MoCo v3's of BYOL's, symmetric
# MoCo's of MoCo's, the others' of SimCLR's or InstDisc's.
KIN = ("raft", "mocov3", "moco symmetric", "supervised", "cpc", "instdisc exact")


@pytest.mark.parametrize(
    "method", [pytest.param(m, marks=[pytest.mark.slow] * (m in KIN)) for m in runs.METHODS]
)
def test_a_killed_run_resumes_to_the_very_same_bits(method, tmp_path, monkeypatch):
    config = _config(method)
    train.train(config, tmp_path / "whole")
    calls = []

    def kill(batch, real=devices.shard):
        calls.append(None)
        if len(calls) == 5:  # after the checkpoint of step 3, with step 4 logged
            raise _Killed
        return real(batch)

    with monkeypatch.context() as patch:
        patch.setattr(devices, "shard", kill)
        with pytest.raises(_Killed):
            train.train(config, tmp_path / "parts")
    train.train(config, tmp_path / "parts")
    whole, parts = (_last(tmp_path / name, config) for name in ("whole", "parts"))
    assert int(whole.step) == 6
    assert jax.tree.structure(whole) == jax.tree.structure(parts)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert _lines(tmp_path / "whole") == _lines(tmp_path / "parts")


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_resident_and_streamed_data_train_the_same(workers, tmp_path):
    config = _config("simclr")
    modes = {"resident": {"mode": "resident"}, "streamed": {"mode": "streamed", "workers": workers}}
    for name, mode in modes.items():
        config.data.update(mode)
        train.train(config, tmp_path / name)
    resident, streamed = (_last(tmp_path / name, config) for name in modes)
    for a, b in zip(jax.tree.leaves(resident), jax.tree.leaves(streamed), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6 * max(np.abs(b).max(), 1e-3))
    assert _lines(tmp_path / "resident")[-1]["loss"] == pytest.approx(
        _lines(tmp_path / "streamed")[-1]["loss"], rel=1e-6
    )


def test_a_resident_run_compiles_its_step_once(tmp_path, caplog):
    config = _config("simclr")
    config.data.mode = "resident"
    with jax.log_compiles():
        train.train(config, tmp_path)
    words = "Finished XLA compilation of jit(_fun) "  # the function that jax.pmap compiles
    assert sum(words in record.getMessage() for record in caplog.records) == 1


def test_an_unknown_data_mode_is_refused():
    _refused("data.mode is 'remote'; it must be one of auto, resident", data={"mode": "remote"})


def test_the_table_stands_learned_beside_untrained_and_raw_pixels(tmp_path):
    config = _config("byol")
    config.evaluate.protocols = ("knn",)
    rows = train.train(config, tmp_path)
    assert list(rows) == ["learned", "untrained", "raw pixels"]
    again = evaluate.evaluate_run(config, tmp_path)
    assert again == rows
    record = json.loads((tmp_path / "evaluation.json").read_text())
    assert record["step"] == 6
    assert "| knn | projection spread |" in compare.markdown([compare.read(tmp_path)])
    assert record["accuracy"]["learned"][0]["accuracy"] == rows["learned"][0].accuracy
    test = data.open_source("fashion_mnist_10k", "test[:40]")
    assert rows["learned"][0].settings["num_test"] == len(test) == 40


def _refused(words, kind="byol", **changes):
    with pytest.raises(ValueError, match=words):
        runs.prepare(_config(kind, **changes), "/nonexistent")


def test_a_batch_size_that_does_not_divide_names_one_that_does():
    _refused(r"batch_size \(18\) must split evenly into 4 devices; try 16", batch_size=18)


def test_microbatches_count_in_the_division():
    words = r"into 4 devices x 3 microbatches; try 12"
    _refused(words, batch_size=16, microbatches=3)


def test_several_processes_evaluate_the_last_step_alone(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    words = r"evaluate.steps \(\('last', 'best'\)\) must be .* run `evaluate` on the workdir"
    _refused(words, evaluate={"steps": ("last", "best")})


def test_a_queue_smaller_than_the_batch_is_refused():
    words = r"method.capacity 8\) is smaller than the 16 keys of one step"
    _refused(words, "moco", method={"capacity": 8})


def test_a_queue_larger_than_the_data_is_warned_of(tmp_path, capsys):
    method = {"capacity": 64}
    train.train(_config("moco", method=method), tmp_path)
    output = " ".join(capsys.readouterr().out.split())
    assert "warning: the queue (method.capacity 64) is larger than the data set (48)" in output


def test_an_unknown_method_lists_those_there_are():
    words = "unknown method 'byoll' .did you mean 'byol'"
    words += ".*byol, cpc, instdisc, moco, mocov3, raft, simclr"
    config = _config("byol")
    config.method.name = "byoll"
    with pytest.raises(ValueError, match=words):
        runs.prepare(config, "/nonexistent")


def test_an_unknown_argument_lists_what_the_factory_takes():
    words = "config.method.temprature: simclr takes no 'temprature' .did you mean 'temperature'"
    _refused(words, "simclr", method={"temprature": 0.1})


def test_a_method_without_a_network_that_it_needs_says_where_to_give_it():
    config = _config("simclr")
    config.projector = {}
    with pytest.raises(
        ValueError, match="method 'simclr' needs projector; set the section config.projector"
    ):
        runs.prepare(config, "/nonexistent")


def test_layer_norm_has_nothing_to_sync(tmp_path):
    config = _config("simclr")
    config.batch_norm = {"kind": "layer", "sync": True}
    ready = runs.prepare(config, tmp_path)
    assert not jax.tree.leaves(ready.first.stats["encoder"])


def test_an_unknown_data_set_lists_those_there_are():
    _refused("unknown data set 'cifar'.*fashion_mnist_10k", data={"name": "cifar"})


def test_supervision_without_labels_is_refused(tmp_path):
    from PIL import Image

    (tmp_path / "in").mkdir()
    for number in range(16):
        Image.new("L", (8, 8), number).save(tmp_path / f"in/{number}.png")
    data.prepare(tmp_path / "in", tmp_path / "out")
    where = {"name": str(tmp_path / "out"), "train_split": "train"}
    _refused("'supervised' needs labels, but the data set", "supervised", data=where)
    config = _config("simclr", data=where, epochs=1)
    assert train.train(config, tmp_path / "run") == {}
    assert "probe_loss" not in _lines(tmp_path / "run")[0]
    with pytest.raises(ValueError, match="has no labels; choose"):
        config = _config("simclr", data=where, epochs=1, evaluate={"protocols": ("knn",)})
        evaluate.evaluate_run(config, tmp_path / "run")


def test_13_channels_of_16_bits_train_where_no_view_turns_hue(tmp_path):
    for number in range(16):
        pixels = pictures.pixels(number, 16, 16, 13, dtype=np.uint16)
        pictures.tiff(tmp_path / f"in/{number}.tif", pixels)
    data.prepare(tmp_path / "in", tmp_path / "out")
    changes = {"data": {"name": str(tmp_path / "out"), "train_split": "train"}, "epochs": 1}
    view = {"name": "simclr_cifar", "size": 8}
    words = r"views.first.hue is 0.1, .*13 channels; set config.views.first.hue = 0"
    _refused(words, "simclr", views={"first": view, "second": view}, **changes)
    view = {**view, "hue": 0.0}
    config = _config("simclr", views={"first": view, "second": view}, **changes)
    train.train(config, tmp_path / "run")
    assert np.isfinite(_lines(tmp_path / "run")[-1]["loss"])


def test_a_mean_of_three_numbers_is_refused_where_pictures_are_grey():
    view = {**runs.VIEW, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.2, 0.2)}
    words = r"mean has 3 numbers, but.*have 1 channels; set config.views"
    _refused(words, views={"first": runs.VIEW, "second": view})


def test_a_missing_test_split_is_told_before_training():
    words = "has no split 'tests'; it has .*train.*Change data.train_split or data.test_split"
    _refused(words, data={"test_split": "tests"}, evaluate={"protocols": ("knn",)})


def test_another_experiment_in_the_workdir_is_refused(tmp_path):
    runs.prepare(_config("byol"), tmp_path)
    (tmp_path / "checkpoints/3").mkdir(parents=True)
    with pytest.raises(ValueError, match="another experiment's checkpoint: seed was 0 and is 1"):
        runs.prepare(_config("byol", seed=1), tmp_path)


def test_a_config_without_a_checkpoint_binds_nothing(tmp_path):
    """Of a run that failed before its first checkpoint, or was stopped while it compiled."""
    runs.prepare(_config("byol"), tmp_path)
    assert (tmp_path / "config.json").exists()
    runs.prepare(_config("byol", seed=1), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"views": {"first": {"area": (1.0, 0.2)}}}, "config.views.first: random crop: area"),
        ({"encoder": {"widths": (8, 0, 4)}}, "config.encoder: widths"),
        ({"projector": {"widths": ()}}, "config.projector: widths"),
        (
            {"views": {"first": {"size": 0}}},
            "config.views.first: height and width must be 1 or more",
        ),
    ],
)
def test_a_mistyped_value_leaves_no_workdir_behind(changes, words, tmp_path):
    with pytest.raises(errors.UserError, match=words) as refusal:
        train.train(_config("simclr", **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert words.startswith(f"config.{refusal.value.section}")


def test_a_start_builds_and_checks_once(tmp_path, monkeypatch):
    calls = collections.Counter()

    def count(module, name):
        real = getattr(module, name)

        def counted(*arguments, **options):
            calls[name] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, counted)

    count(parts, "build")
    count(check, "check")
    count(views, "check_channels")
    count(sections, "check_type")
    config = _config("simclr")
    train.train(config, tmp_path)
    assert calls["build"] == calls["check"] == calls["check_channels"] == 1
    values = len(saved.flat(config.to_dict()))
    assert calls["check_type"] <= 2 * values  # a field, and the section that holds it


def test_a_new_method_is_one_entry_in_the_table(tmp_path, monkeypatch):
    """Nothing outside a method knows it by name: a copy under another name trains all the same."""

    def mine(encoder, projector, *, weight: float = 1.0, axis_name: str | None = None):
        method = methods.simclr(encoder, projector, axis_name=axis_name)
        return method._replace(schedules={"weight": lambda step: weight * step}, queue_capacity=7)

    monkeypatch.setitem(methods.METHODS, "mine", mine)
    config = _config("simclr", method={"name": "mine", "weight": 2.0})
    config = config.copy_and_resolve_references()
    del config.method["temperature"]
    train.train(config, tmp_path)
    assert [line["weight"] for line in _lines(tmp_path)] == [0, 2, 4, 6, 8, 10]
    assert json.loads((tmp_path / "config.json").read_text())["method"]["name"] == "mine"


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    schedule = {"name": "constant", "learning_rate": 1e30}
    with pytest.raises(FloatingPointError, match="Lower schedule.learning_rate"):
        train.train(_config("simclr", schedule=schedule), tmp_path)


def _command(*arguments):
    command = [sys.executable, "-m", "byol_jax", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_mistyped_field_names_the_nearest():
    done = _command(
        "train", "--config=configs/quickstart.py", "--workdir=w", "--config.batchsize=8"
    )
    assert done.returncode != 0 and "batch_size" in done.stderr


def test_commands_say_what_they_need():
    done = _command("trian")
    assert done.returncode != 0 and "prepare, preview, train, evaluate" in done.stdout + done.stderr
    done = _command("train")
    assert done.returncode != 0 and "--config and --workdir" in done.stdout + done.stderr


def test_prepare_tells_what_it_left_out(tmp_path):
    folder = pictures.folder(tmp_path / "in/cat", 3)
    (folder / "bad.jpg").write_bytes(b"")
    where = (f"--source={tmp_path / 'in'}", f"--out={tmp_path / 'out'}")
    done = _command("prepare", *where, "--max_side=4", "--labels=none")
    assert done.returncode == 0 and "unreadable: cat/bad.jpg: the file is empty\n" in done.stdout
    assert "kept 3 train images: 4 x 5 x 3 uint8, no labels\n" in done.stdout
    again = _command("prepare", *where)
    assert again.returncode != 0 and "exists; give another --out" in again.stderr
