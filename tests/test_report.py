"""The report of real runs: what is in it, also of one that is unlabelled, young, or half lost."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn import decomposition, neighbors

from byol_jax import data
from byol_jax.report import contents, feature_map
from byol_jax.training import train
from support import pictures, runs


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A finished run, whose report was written at its end."""
    folder = tmp_path_factory.mktemp("runs") / "moco"
    train.train(runs.config_of(report=True), folder)
    return folder


def _told(*workdirs, **options):
    """(runs, pictures) that the page is made of."""
    given = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            contents.page, "write", lambda out, runs, pictures: given.append((runs, pictures))
        )
        contents.write(workdirs, "unused.html", **options)
    return given[0]


def test_a_run_ends_with_its_report(workdir):
    assert "moco" in (workdir / "report.html").read_text(encoding="utf-8")
    (run,), _ = _told(workdir)
    assert run.name == "moco" and run.facts["method"] == "moco"
    assert len(run.metrics) == 6
    # A constant decay of 0.9 and the learning rate of the first step: the schedules' own values.
    assert run.metrics[0]["decay"] == pytest.approx(0.9)
    assert run.metrics[0]["learning_rate"] == pytest.approx(0.03 * 16 / 256)
    (row,) = run.evaluation["learned"]
    assert np.sum(row["confusion"]) == 40 and len(row["classes"]) == 10
    assert run.config["method.capacity"] == 24
    assert run.preview


def test_no_report_is_written_where_it_is_switched_off(tmp_path):
    train.train(runs.config_of(evaluate={"protocols": ()}), tmp_path / "run")
    assert not (tmp_path / "run/report.html").exists()


def test_the_map_is_that_of_the_pictures_evaluated(workdir):
    (run,), (shown,) = _told(workdir)
    assert shown.labels == data.open_source("fashion_mnist_10k", "test[:40]").labels.tolist()
    assert len(run.map.projections["PCA"]) == 40


def test_two_runs_share_pictures_and_keep_their_own_names(workdir, tmp_path):
    other = tmp_path / "moco"
    train.train(runs.config_of(seed=1), other)
    both, (shown,) = _told(workdir, other, num_pictures=20)
    assert len(shown.names) == 20
    assert [run.name for run in both] == [str(workdir), str(other)]
    assert [run.map.pictures for run in both] == [0, 0]
    contents.write([workdir, other], tmp_path / "new/two.html")
    assert (tmp_path / "new/two.html").stat().st_size > 10_000


def test_an_unlabelled_folder_has_a_report(tmp_path):
    pictures.folder(tmp_path / "in", 40, size=(9, 12))
    data.prepare(tmp_path / "in", tmp_path / "data", labels="none")
    where = {"name": str(tmp_path / "data"), "train_split": "train"}
    view = {"name": "supervised", "size": 8, "mean": None, "std": None}
    changes = {"data": where, "views": {"first": view, "second": view}, "report": True}
    train.train(runs.config_of(**changes), tmp_path / "run")
    assert (tmp_path / "run/report.html").exists()
    (run,), (shown,) = _told(tmp_path / "run")
    assert shown.labels is None and len(run.map.projections["PCA"]) == 40
    assert not run.evaluation


def test_what_is_missing_is_left_out_and_said(workdir, tmp_path, capsys):
    (tmp_path / "young").mkdir()
    for name in ("config.json", "metrics.jsonl"):
        (tmp_path / "young" / name).write_bytes((workdir / name).read_bytes())
    with (tmp_path / "young/metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')  # of a killed run
    contents.write([tmp_path / "young"], tmp_path / "young.html")
    (run,), _ = _told(tmp_path / "young")
    assert len(run.metrics) == 6 and run.map is None
    assert "has no encoder.safetensors yet" in capsys.readouterr().out
    config = json.loads((workdir / "config.json").read_text())
    config["data"]["name"] = "gone"
    (tmp_path / "young/config.json").write_text(json.dumps(config))
    (tmp_path / "young/encoder.safetensors").write_bytes(
        (workdir / "encoder.safetensors").read_bytes()
    )
    contents.write([tmp_path / "young"], tmp_path / "young.html")
    assert "The report has no feature map: config.data: unknown data set" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="has no config.json; give the --workdir of a run"):
        contents.write([tmp_path], tmp_path / "none.html")


def test_the_plane_and_the_neighbours_are_scikit_learns():
    features = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    plane, explained = feature_map.plane(features)
    theirs = decomposition.PCA(2).fit(features)
    np.testing.assert_allclose(np.abs(plane), np.abs(theirs.transform(features)), atol=1e-4)
    assert explained == pytest.approx(theirs.explained_variance_ratio_.sum(), rel=1e-4)
    order, cosines = feature_map.nearest(features)
    search = neighbors.NearestNeighbors(n_neighbors=13, metric="cosine").fit(features)
    distances, index = search.kneighbors(features)
    np.testing.assert_array_equal(order, index[:, 1:])
    np.testing.assert_allclose(cosines, 1 - distances[:, 1:], atol=1e-5)


def test_one_picture_and_equal_features_do_no_harm():
    for features in (np.ones((1, 3), np.float32), np.zeros((5, 1), np.float32)):
        plane, explained = feature_map.plane(features)
        order, cosines = feature_map.nearest(features)
        assert plane.shape == (len(features), 2) and explained == 0
        assert order.shape == cosines.shape == (len(features), min(12, len(features) - 1))


def test_a_sprite_has_every_picture_in_its_place():
    images = np.zeros((5, 8, 8, 1), np.uint8)
    images[3] = 255
    sprite, tile, columns = contents._sprite(images)
    sheet = np.asarray(Image.open(io.BytesIO(sprite)).convert("L"))
    assert (tile, columns) == (8, 3) and sheet.shape == (16, 24)
    assert sheet[8:, :8].mean() > 250 and sheet.mean() < 60


def test_umap_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"pip install 'byol_jax\[umap\]'"):
        feature_map.umap_plane(np.zeros((3, 2)))
