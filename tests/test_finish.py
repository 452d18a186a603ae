"""What is made of a run: its encoder, its accuracies, its export, and another run's start."""

import json
import types

import jax
import numpy as np
import pytest
import safetensors.numpy

import byol_jax
from byol_jax import checkpoint, data
from byol_jax.builders import encoder as build_encoder
from byol_jax.builders import views
from byol_jax.commands import evaluate, export
from byol_jax.config import fields, saved
from byol_jax.training import measure, start, train
from support import runs


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("runs") / "moco"
    train.train(runs.config_of(), folder)
    return folder


def _restored(workdir, step=None):
    config = saved.load(workdir)
    with checkpoint.Checkpoints(workdir, keep=None) as checkpoints:
        return checkpoints.restore(start.prepare(config, workdir, writes=False).first, step=step)


def test_a_run_leaves_its_encoder(workdir):
    loaded = byol_jax.load_encoder(workdir)
    assert loaded.info.method == "moco" and loaded.info.step == 6
    assert loaded.info.view == {"size": 8, "mean": [0.3], "std": [0.2]}
    state = _restored(workdir)
    for a, b in (
        (loaded.params, state.params["encoder"]),
        (loaded.stats, state.stats["encoder"]),
    ):
        jax.tree.map(np.testing.assert_array_equal, a, b)
    # Evaluation sees the very features that the file gives.
    ready = start.prepare(runs.config_of(), workdir, writes=False)
    images = ready.splits[1].images[:5]
    want = ready.parts.encode(state.params, state.stats, images)
    np.testing.assert_allclose(loaded(images), want, atol=1e-5)


def test_the_saved_config_is_the_config_of_the_run(workdir):
    found, config = saved.load(workdir), runs.config_of()
    assert found.to_dict() == config.to_dict()
    assert found.encoder == config.encoder and found.views == config.views
    assert isinstance(found.evaluate.protocols, tuple) and isinstance(found.views.first.mean, tuple)
    found.remat = "blocks"  # an empty field still knows its type
    with pytest.raises(TypeError):
        found.remat = 3


def test_a_workdir_without_a_run_or_with_a_damaged_config_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no config.json; give the --workdir of a run"):
        saved.load(tmp_path)
    (tmp_path / "config.json").write_text('{"seed":')
    with pytest.raises(ValueError, match="is damaged"):
        saved.load(tmp_path)


def test_evaluation_keeps_the_record_of_the_run(workdir):
    before = (workdir / "config.json").read_text()
    config = saved.load(workdir)
    config.evaluate.protocols = ("knn", "logistic")
    rows = evaluate.evaluate_run(config, workdir)
    assert [row.protocol for row in rows["learned"]] == ["knn", "logistic"]
    assert (workdir / "config.json").read_text() == before


def test_a_row_tells_of_what_when_and_by_what_code(workdir):
    rows = evaluate.evaluate_run(saved.load(workdir), workdir)
    settings = rows["learned"][0].settings
    for name, value in {
        "data": "fashion_mnist_10k",
        "train_split": "train[:48]",
        "test_split": "test[:40]",
        "step": 6,
        "run_seed": 0,
        "num_train": 48,
    }.items():
        assert settings[name] == value
    assert settings["commit"]
    record = json.loads((workdir / "evaluation.json").read_text())
    assert record["accuracy"]["learned"][0]["settings"] == settings
    assert record["classes"] == [str(number) for number in range(10)]


def test_other_steps_are_named(workdir, monkeypatch):
    found = {2: 0.2, 4: 0.9, 6: 0.3}
    monkeypatch.setattr(measure, "validation_accuracy", lambda one, source: found[one.step])
    config = saved.load(workdir)
    config.evaluate.steps = ("last", "best", 2)
    rows = evaluate.evaluate_run(config, workdir)
    steps = {name: found[0].settings["step"] for name, found in rows.items()}
    assert steps == {"learned": 6, "best": 4, "step 2": 2}
    config.evaluate.steps = (3,)
    with pytest.raises(FileNotFoundError, match="no checkpoint for step 3; .* for steps 2, 4, 6"):
        evaluate.evaluate_run(config, workdir)
    config.evaluate.steps = ("first",)
    with pytest.raises(
        ValueError, match="evaluate.steps is 'first'; it must be one of last, best, a number"
    ):
        evaluate.evaluate_run(config, workdir)


def test_the_best_step_is_chosen_without_the_test_split(workdir):
    state = _restored(workdir)
    ready = start.prepare(runs.config_of(), workdir, writes=False)
    candidate = measure.candidate(ready, state)
    assert 0 <= measure.validation_accuracy(candidate, ready.splits[0]) <= 1
    seen = []

    class Watched:
        images = ready.splits[0].images

        def require_labels(self):
            return 10

        @property
        def labels(self):
            seen.append(None)
            return ready.splits[0].labels

    measure.validation_accuracy(candidate, Watched())
    assert seen


def test_a_run_is_measured_on_another_data_set(workdir):
    config = saved.load(workdir)
    config.evaluate.data.train_split = "train[48:88]"
    rows = evaluate.evaluate_run(config, workdir)
    assert rows["learned"][0].settings["train_split"] == "train[48:88]"
    assert rows["learned"][0].settings["num_train"] == 40
    config.evaluate.data.name = "fashion_mnist"
    with pytest.raises(ValueError, match="unknown data set|not in|download|prepare"):
        config.evaluate.data.name = "nowhere"
        evaluate.evaluate_run(config, workdir)


def test_semi_writes_which_labels_it_used(workdir):
    config = saved.load(workdir)
    config.evaluate.protocols = ("semi",)
    config.evaluate.options.semi = {"fractions": (0.5,), "epochs": (1,), "learning_rates": (0.1,)}
    rows = evaluate.evaluate_run(config, workdir)
    lines = (workdir / "labels_50_percent_seed_0.txt").read_text().split()
    assert len(lines) == rows["learned"][0].settings["num_train"] == len(set(lines))
    assert all(0 <= int(line) < 48 for line in lines)


def test_what_cannot_be_evaluated_is_told_before_training(tmp_path):
    for changes, words in (
        ({"protocols": ("svm",)}, "evaluate.protocols is 'svm'; it must be one of knn"),
        ({"baselines": ("chance",)}, "evaluate.baselines is 'chance'; it must be one of untrained"),
    ):
        with pytest.raises(ValueError, match=words):
            train.train(runs.config_of(evaluate=changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("layout", export.LAYOUTS)
def test_an_export_has_its_card_and_loads_again(layout, workdir, tmp_path):
    made = export.export_run(saved.load(workdir), workdir, None)
    measured = {"data": "x", "test_split": "y", "step": 6}
    results = {"learned": [{"protocol": "knn", "accuracy": 0.5, "settings": measured}]}
    file, card = export.export(made, tmp_path / "out", layout=layout, results=results)
    assert (file.name, card.name) == ("model.safetensors", "README.md")
    again = byol_jax.load_encoder(file)
    jax.tree.map(np.testing.assert_array_equal, again.params, made.params)
    jax.tree.map(np.testing.assert_array_equal, again.stats, made.stats)
    text = card.read_text()
    assert 'load_encoder("model.safetensors")' in text and "Subtract the mean [0.3]" in text
    assert "for 6 steps" in text and "| learned | 50.00 |" in text and "`y` of `x`" in text
    names = safetensors.numpy.load_file(file)
    assert ("conv1.weight" in names) == (layout != "flax")


def test_a_checkpoint_of_any_step_is_exported(workdir):
    config = saved.load(workdir)
    early = export.export_run(config, workdir, 2)
    assert early.info.step == 2 and export.results_of(workdir, 2) == {}
    jax.tree.map(
        np.testing.assert_array_equal, early.params, _restored(workdir, 2).params["encoder"]
    )


def test_somebodys_readme_is_not_overwritten(workdir, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    made = byol_jax.load_encoder(workdir)
    _, card = export.export(made, tmp_path / "net.safetensors")
    assert card.name == "net.md" and (tmp_path / "README.md").read_text() == "mine"
    with pytest.raises(ValueError, match="give a name that ends in .safetensors"):
        export.export(made, tmp_path / "net.pt")
    with pytest.raises(ValueError, match="unknown layout 'keras'"):
        export.export(made, tmp_path / "x", layout="keras")


def test_a_run_starts_from_a_file_of_another(workdir, tmp_path):
    file = workdir / "encoder.safetensors"
    config = runs.config_of(seed=5, start_from=str(file))
    first = start.prepare(config, tmp_path / "new").first
    loaded = byol_jax.load_encoder(file)
    for encoder in (first.params["encoder"], first.memory.target["encoder"]):
        jax.tree.map(np.testing.assert_array_equal, encoder, loaded.params)
    jax.tree.map(np.testing.assert_array_equal, first.stats["encoder"], loaded.stats)
    fresh = start.prepare(runs.config_of(seed=5), tmp_path / "fresh").first
    jax.tree.map(
        np.testing.assert_array_equal, first.params["projector"], fresh.params["projector"]
    )
    config.encoder = {"name": "resnet_tiny", "stem_width": 4}
    with pytest.raises(ValueError, match="weights belong to another network"):
        start.prepare(config, tmp_path / "other")


def test_a_file_is_evaluated_by_itself(workdir, tmp_path):
    config = fields.default()
    config.data.train_split, config.data.test_split = "train[:48]", "test[:40]"
    config.evaluate.protocols, config.evaluate.baselines = ("knn", "finetune"), ("raw pixels",)
    config.evaluate.options.finetune = {"epochs": 1, "learning_rates": (0.1,)}
    file = workdir / "encoder.safetensors"
    rows = evaluate.evaluate_encoder(config, file, tmp_path)
    want = evaluate.evaluate_run(saved.load(workdir), workdir)
    assert rows["learned"][0].accuracy == want["learned"][0].accuracy
    assert [row.protocol for row in rows["learned"]] == ["knn", "finetune"]
    assert [row.protocol for row in rows["raw pixels"]] == ["knn"]
    assert rows["learned"][0].settings["encoder"] == str(file)
    assert (tmp_path / "evaluation.json").exists()


def test_evaluation_normalizes_as_the_views_of_a_preset_do():
    config = fields.default()
    config.views = {"first": {"name": "moco_v2"}, "second": {"name": "moco_v2"}}
    settings = views.evaluation_settings(config)
    assert settings["size"] == 224 and settings["mean"] is not None
    config.views = {"first": {"name": "simclr"}, "second": {"name": "simclr"}}
    assert views.evaluation_settings(config)["mean"] is None


def test_pictures_of_any_size_have_the_size_of_the_view():
    source = data.open_source("fashion_mnist_10k", "train[:4]")
    source.has_size = False
    config = runs.config_of()
    config.evaluate.view = {"proportion": 0.875}
    method = types.SimpleNamespace(patches=None)
    assert build_encoder.info(config, method, source, 0).image_shape == (9, 9, 1)
