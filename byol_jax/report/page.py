"""Runs as one page of HTML that asks nobody: results, curves, a map of the features, configuration.

The page opens from a disk or from any server, years later and without a network: all that it shows
stands in the one file. Its static parts are in the folder `static`.
"""

import base64
import hashlib
import html
import importlib.resources
import json
import math
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from byol_jax import errors
from byol_jax.system import paths

_SCRIPTS = ("parts", "results", "curves", "plane", "paint", "map", "neighbours", "config", "page")
_MEDIA = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


class Pictures(NamedTuple):
    """N pictures to look at, as one sprite: picture i is the tile (i % columns, i // columns).

    sprite: an encoded WebP, JPEG or PNG, `columns * tile` pixels wide.  tile: the pixels of a
    square tile's side.  names: N, what each is called.  labels: N, the true class of each, an index
    into classes; without classes a label is shown as its number.
    """

    sprite: bytes
    tile: int
    columns: int
    names: list[str]
    labels: list[int] | None = None
    classes: list[str] | None = None


class Map(NamedTuple):
    """Where a run's features put N pictures.

    pictures: which of the pictures given to `write`.  projections: a name ("PCA") -> N points
    [x, y].  neighbours: N lists of k pictures, the nearest first and the picture itself left out;
    similarities: the cosines of the same, N lists of k.  explained: the share of the features'
    variance that the plane called "PCA" shows, in [0, 1].
    """

    pictures: int
    projections: dict[str, list[Sequence[float]]]
    neighbours: list[list[int]]
    similarities: list[list[float]]
    explained: float | None = None


class Run(NamedTuple):
    """What there is to tell of a run; what is empty or None is left out of the page.

    facts: short ones for the top.  config: dotted name -> value.  metrics: lines by step, as
    metrics.jsonl has them; None is a value that was not finite.  evaluation: the features' name
    ("learned", "untrained", "raw pixels") -> rows, each {protocol, accuracy in [0, 1], settings,
    confusion, classes}; confusion: counts [C, C], rows true, columns guessed, or None.
    preview: an encoded picture of augmented views.
    """

    name: str
    facts: Mapping[str, str] = {}
    config: Mapping[str, Any] = {}
    metrics: Sequence[Mapping[str, float | None]] = ()
    evaluation: Mapping[str, Sequence[Mapping[str, Any]]] = {}
    map: Map | None = None
    preview: bytes | None = None


def write(file: str | Path, runs: Sequence[Run], pictures: Sequence[Pictures] = ()) -> None:
    """Writes the page of the runs, whole or not at all; makes its folder where there is none.

    Raises ValueError where lengths or indices do not fit each other, before anything is written.
    """
    _check(runs, pictures)
    text = _page(runs, pictures)
    paths.write_whole(file, text)


def _page(runs, pictures) -> str:
    style, script = _static("page.css"), "\n".join(_static(f"{name}.js") for name in _SCRIPTS)
    names = [run.name for run in runs]
    return string.Template(_static("page.html")).substitute(
        title=html.escape(", ".join(names) if len(names) <= 3 else f"{len(names)} runs"),
        policy=f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        data=_data(runs, pictures),
    )


def _static(name: str) -> str:
    folder = importlib.resources.files("byol_jax.report") / "static"
    return (folder / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """By which a content security policy knows the one style and the one script of the page."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _data(runs, pictures) -> str:
    """JSON that may stand in a script element: in ASCII, and no name in it can end the element."""
    data = {"runs": [_run(run) for run in runs], "pictures": [_pictures(p) for p in pictures]}
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _run(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "facts": _pairs(run.facts),
        "config": _pairs(run.config),
        "metrics": _columns(run.metrics),
        "evaluation": [[name, [_row(r) for r in rows]] for name, rows in run.evaluation.items()],
        "map": run.map and _map(run.map),
        "preview": run.preview and _url(run.preview),
    }


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """In their order, which an object of JavaScript would not keep; values as Python shows them."""
    return [(k, v if isinstance(v, str) else repr(v)) for k, v in values.items()]


def _columns(lines) -> dict[str, list[float | None]]:
    names = dict.fromkeys(name for line in lines for name in line)
    return {name: [_short(line.get(name), 6) for line in lines] for name in names}


def _row(row) -> dict[str, Any]:
    return {
        "protocol": row["protocol"],
        "accuracy": row["accuracy"],
        "settings": _pairs(row.get("settings") or {}),
        "confusion": row.get("confusion"),
        "classes": row.get("classes"),
    }


def _map(given: Map) -> dict[str, Any]:
    points = {
        name: [[_short(x, 5), _short(y, 5)] for x, y in points]
        for name, points in given.projections.items()
    }
    cosines = [[_short(value, 4) for value in row] for row in given.similarities]
    return {**given._asdict(), "projections": list(points.items()), "similarities": cosines}


def _pictures(given: Pictures) -> dict[str, Any]:
    return {**given._asdict(), "sprite": _url(given.sprite)}


def _short(value, digits: int) -> float | None:
    """With so many significant digits; None for what is not a finite number."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def _url(picture: bytes) -> str:
    return f"data:{_media_type(picture)};base64,{base64.b64encode(picture).decode()}"


def _media_type(picture: bytes) -> str:
    for start, name in _MEDIA.items():
        if picture.startswith(start):
            return name
    raise errors.UserError(
        f"a picture must be an encoded WebP, JPEG or PNG; this one starts with {picture[:4]!r}."
    )


def _check(runs, pictures) -> None:
    for given in pictures:
        _check_pictures(given)
    for run in runs:
        if run.map is not None:
            _check_map(run.name, run.map, pictures)
        if any("step" not in line for line in run.metrics):
            raise errors.UserError(
                f"the metrics of {run.name} have a line without its step; add it."
            )
        for row in (row for rows in run.evaluation.values() for row in rows):
            _check_confusion(f"the confusion of {run.name}", row)
        if run.preview:
            _media_type(run.preview)


def _check_pictures(given: Pictures) -> None:
    _media_type(given.sprite)
    if given.tile < 1 or given.columns < 1:
        raise errors.UserError(
            f"tile ({given.tile}) and columns ({given.columns}) must be 1 or more."
        )
    if given.labels is not None:
        _same_length("labels", given.labels, len(given.names), "names")
        _in_range("labels", given.labels, len(given.classes or ()) or math.inf, "classes")


def _check_map(name: str, given: Map, pictures) -> None:
    if not 0 <= given.pictures < len(pictures):
        raise errors.UserError(
            f"the map of {name} shows pictures {given.pictures}, of {len(pictures)} given."
        )
    if not given.projections:
        raise errors.UserError(f'the map of {name} has no projection; give one, {{"PCA": points}}.')
    size, of = len(pictures[given.pictures].names), f" of {name}"
    for projection, points in given.projections.items():
        _same_length(projection + of, points, size, "pictures")
        if not all(math.isfinite(v) for point in points for v in point):
            raise errors.UserError(
                f"{projection}{of} has points that are not finite; leave it out."
            )
    _same_length("neighbours" + of, given.neighbours, size, "pictures")
    _same_length("similarities" + of, given.similarities, size, "pictures")
    for near, cosines in zip(given.neighbours, given.similarities, strict=True):
        _same_length("a row of similarities" + of, cosines, len(near), "neighbours")
        _in_range("neighbours" + of, near, size, "pictures")


def _check_confusion(what: str, row) -> None:
    confusion, classes = row.get("confusion"), row.get("classes")
    if confusion is None:
        return
    for counts in confusion:
        _same_length(f"a row of {what}", counts, len(confusion), "rows")
    if classes is not None:
        _same_length(f"the classes of {what}", classes, len(confusion), "rows")


def _same_length(what: str, values, wanted: int, there: str) -> None:
    if len(values) != wanted:
        raise errors.UserError(
            f"{what}: {len(values)} where there are {wanted} {there}; give as many."
        )


def _in_range(what: str, values, end: float, there: str) -> None:
    for value in values:
        if not 0 <= value < end:
            raise errors.UserError(
                f"{what}: {value} is not one of the {end} {there}, counted from 0."
            )
