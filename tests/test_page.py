"""The report is one self-contained file, whatever the runs are called and whatever they lack."""

import base64
import hashlib
import io
import json
import math
import os
import re

import numpy as np
import pytest
from PIL import Image

from byol_jax.report import page

_BREAK = "</script><script>alert(1)</script><!--\u2028&amp;"


def _sprite(pictures=6, tile=4, kind="PNG", columns=3):
    size = (columns * tile, math.ceil(pictures / columns) * tile)
    file = io.BytesIO()
    Image.new("RGB", size).save(file, kind)
    return file.getvalue()


def _pictures(**changes):
    given = page.Pictures(_sprite(), 4, 3, list("abcdef"), [0, 1, 0, 1, 0, 1], ["cat", "dog"])
    return given._replace(**changes)


def _map(**changes):
    points = [[float(i), float(i * i)] for i in range(6)]
    near = [[(i + 1) % 6, (i + 2) % 6] for i in range(6)]
    given = page.Map(0, {"PCA": points}, near, [[0.9, 0.8]] * 6, 0.5)
    return given._replace(**changes)


def _run(**changes):
    rows = [{"protocol": "knn", "accuracy": 0.5, "confusion": [[2, 1], [1, 2]], "settings": {}}]
    lines = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": None}]
    given = page.Run("one", {"method": "byol"}, {"seed": 0}, lines, {"learned": rows}, _map())
    return given._replace(**changes)


def _written(tmp_path, runs, pictures=()):
    page.write(tmp_path / "page.html", runs, pictures)
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def _data(text):
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert len(found) == 1
    return json.loads(found[0])


def test_no_name_ends_the_element_that_it_stands_in(tmp_path):
    pictures = _pictures(names=[_BREAK] * 6, classes=[_BREAK, "dog"])
    run = _run(name=_BREAK, facts={_BREAK: _BREAK}, config={_BREAK: [_BREAK]})
    text = _written(tmp_path, [run], [pictures])
    assert "alert" in text and "<script>alert" not in text and "\u2028" not in _script(text)
    assert text.count("</script>") == 2 and "<!--" not in text
    data = _data(text)
    assert data["runs"][0]["name"] == _BREAK and data["pictures"][0]["names"] == [_BREAK] * 6
    assert data["runs"][0]["config"] == [[_BREAK, repr([_BREAK])]]


def _script(text):
    return text[text.index("<script") :]


def test_a_name_that_is_no_unicode_does_not_stop_the_page(tmp_path):
    text = _written(tmp_path, [_run(name="caf\udce9", map=None)])
    assert _data(text)["runs"][0]["name"] == "caf\udce9"
    assert "<title>caf? – byol_jax</title>" in text


def test_the_page_names_no_address(tmp_path):
    text = _written(tmp_path, [_run(preview=_sprite())], [_pictures()])
    plain = re.sub(r"base64,[\w+/=]*", "", text)  # digits of a picture may look like one
    assert not re.search(r"https?:|//[a-z]", plain)
    assert re.findall(r"""(?:src|href)=["']?([^"'>\s]*)""", text) == ["data:,"]
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket|sendBeacon", text)


def test_nothing_runs_but_the_style_and_script_of_the_page(tmp_path):
    text = _written(tmp_path, [_run(map=None)])
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    for rule, start, end in (
        ("style-src", "<style>", "</style>"),
        ("script-src", '<script type="module">', "</script>"),
    ):
        inside = text.split(start)[1].split(end)[0]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert rules.pop(rule) == f"'sha256-{digest}'"
    assert rules == {"img-src": "data:"}


def test_text_goes_in_as_text():
    for name in page._SCRIPTS:
        script = page._static(f"{name}.js")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script)


def _luminance(colour):
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def _contrast(one, other):
    dark, light = sorted([_luminance(one), _luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_lines_stand_out(scheme):
    block = page._static("page.css").split("@media (prefers-color-scheme: dark)")[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", block))
    for name in ("ink", "muted", "accent"):
        assert _contrast(colours[name], colours["paper"]) >= 4.5
    assert _contrast(colours["ink"], colours["panel"]) >= 4.5
    assert _contrast(colours["ink"], colours["heat"]) >= 4.5
    for name in ["edge", *(f"run-{i}" for i in range(6))]:
        assert _contrast(colours[name], colours["paper"]) >= 3.0


def test_a_page_is_whole_or_not_there(tmp_path, monkeypatch):
    file = tmp_path / "a" / "b" / "page.html"
    page.write(file, [_run(map=None)])
    before = file.read_bytes()

    def fail(*_):
        raise OSError("no room")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no room"):
        page.write(file, [_run(name="other", map=None)])
    assert file.read_bytes() == before


def test_nothing_is_written_where_lengths_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match="names"):
        page.write(tmp_path / "new" / "page.html", [_run()], [_pictures(labels=[0])])
    assert not list(tmp_path.iterdir())


_ROW = {"protocol": "knn", "accuracy": 0.5, "settings": {}}


@pytest.mark.parametrize(
    ("run", "pictures", "message"),
    [
        ({}, {"labels": [0] * 5}, "labels: got 5 values for 6 names"),
        (
            {},
            {"labels": [0, 1, 2, 0, 0, 0]},
            "labels is 2, but must be at least 0 and less than 2, the number of classes",
        ),
        ({}, {"columns": 0}, r"columns \(0\) must be 1 or more"),
        ({}, {"sprite": b"GIF89a"}, "must be an encoded WebP, JPEG or PNG"),
        (
            {"map": {"pictures": 1}},
            {},
            "run one: map.pictures is 1, but must be at least 0 and less than 1",
        ),
        ({"map": {"projections": {}}}, {}, "run one: the map has no projection"),
        ({"map": {"projections": {"PCA": [[0, 0]]}}}, {}, "run one: PCA: got 1 values for 6"),
        ({"map": {"projections": {"PCA": [[0, math.nan]] * 6}}}, {}, "are not finite"),
        ({"map": {"neighbours": [[1, 2]] * 5}}, {}, "run one: neighbours: got 5 values"),
        (
            {"map": {"neighbours": [[1, 6]] * 6}},
            {},
            "run one: neighbours is 6, but must be at least 0 and less than 6",
        ),
        (
            {"map": {"similarities": [[0.5]] * 6}},
            {},
            "run one: a row of similarities: got 1 values",
        ),
        ({"metrics": [{"loss": 1.0}]}, {}, "run one: a line of the metrics has no step"),
        ({"preview": b"nothing"}, {}, "must be an encoded"),
        (
            {"evaluation": {"learned": [_ROW | {"confusion": [[1, 2]]}]}},
            {},
            "run one: a row of the confusion",
        ),
        (
            {"evaluation": {"learned": [_ROW | {"confusion": [[1]], "classes": ["a", "b"]}]}},
            {},
            "run one: classes of the confusion matrix: got 2 values for 1 rows",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, run, pictures, message):
    run = {**run, "map": _map(**run.get("map", {}))}
    with pytest.raises(ValueError, match=message):
        page.write(tmp_path / "page.html", [_run(**run)], [_pictures(**pictures)])


def test_metrics_are_columns_by_step(tmp_path):
    lines = [{"step": 1, "loss": 0.123456789}, {"step": 2, "loss": math.nan, "spread": 1.0}]
    data = _data(_written(tmp_path, [_run(metrics=lines, map=None)]))
    columns = {"step": [1, 2], "loss": [0.123457, None], "spread": [None, 1.0]}
    assert data["runs"][0]["metrics"] == columns


def test_the_order_of_fields_is_kept_and_values_are_as_in_a_config(tmp_path):
    config = {"b": None, "10": True, "2": "sgd", "a": math.inf}
    data = _data(_written(tmp_path, [_run(config=config, map=None)]))
    assert data["runs"][0]["config"] == [["b", "None"], ["10", "True"], ["2", "sgd"], ["a", "inf"]]


@pytest.mark.parametrize(("kind", "media"), [("WEBP", "webp"), ("JPEG", "jpeg"), ("PNG", "png")])
def test_a_sprite_is_told_by_its_first_bytes(tmp_path, kind, media):
    sprite = _sprite(kind=kind)
    data = _data(_written(tmp_path, [_run()], [_pictures(sprite=sprite)]))
    start, encoded = data["pictures"][0]["sprite"].split(",")
    assert start == f"data:image/{media};base64" and base64.b64decode(encoded) == sprite


def test_a_run_may_lack_everything(tmp_path):
    data = _data(_written(tmp_path, [page.Run("bare")]))
    assert data["pictures"] == [] and data["runs"][0]["map"] is None
    unlabelled = _pictures(labels=None, classes=None)
    data = _data(_written(tmp_path, [page.Run("bare", map=_map(explained=None))], [unlabelled]))
    assert data["pictures"][0]["labels"] is None


def test_two_thousand_photographs_stay_below_15_megabytes(tmp_path):
    noise = np.random.default_rng(0).normal(128, 40, (45 * 64, 45 * 64, 3))
    sheet = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=80)
    names = [f"folder/of/photographs/IMG_{i:06d}.jpg" for i in range(2000)]
    points = np.random.default_rng(1).normal(size=(2000, 2)).tolist()
    near = [[(i + j) % 2000 for j in range(1, 13)] for i in range(2000)]
    given = page.Map(0, {"PCA": points, "UMAP": points}, near, [[0.987654321] * 12] * 2000, 0.3)
    pictures = page.Pictures(file.getvalue(), 64, 45, names)
    text = _written(tmp_path, [_run(map=given), _run(map=given)], [pictures])
    assert 1e6 < len(text) < 15e6
