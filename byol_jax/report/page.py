"""The HTML page of a report: results, curves, feature map, views and configuration in one file.

The page makes no network request: the file contains everything that it shows, so that it opens from
a disk or from any server. The style, the scripts and the template are in the folder `static`.
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
    """Thumbnails of N images, joined into one image file (a sprite).

    Image i is the tile in column i % columns and row i // columns.

    Attributes:
        sprite: An encoded WebP, JPEG or PNG, `columns * tile` pixels wide.
        tile: Side of a square tile in pixels.
        columns: Number of tiles in a row.
        names: Name of each image, N texts.
        labels: True class of each image, N indices into `classes`; None without labels.
        classes: Names of the classes. Without them, the page shows a label as its number.
    """

    sprite: bytes
    tile: int
    columns: int
    names: list[str]
    labels: list[int] | None = None
    classes: list[str] | None = None


class Map(NamedTuple):
    """The positions of N images in a two-dimensional map, and the nearest neighbors of each image.

    Attributes:
        pictures: Index of the images in the argument `pictures` of `write`.
        projections: Positions by projection, such as "PCA": N points [x, y] each.
        neighbours: Indices of the k nearest images of each image, the nearest first and without
            the image itself.
        similarities: Cosine similarities of the same neighbours, N lists of k.
        explained: Share of the features' variance that the projection "PCA" shows, in [0, 1].
    """

    pictures: int
    projections: dict[str, list[Sequence[float]]]
    neighbours: list[list[int]]
    similarities: list[list[float]]
    explained: float | None = None


class Run(NamedTuple):
    """The data of one run for the report page; the page omits empty fields.

    Attributes:
        name: Name of the run.
        facts: Short texts by name, for the top of the page.
        config: Values by dotted field name.
        metrics: Lines as in metrics.jsonl, in the order of the steps. None is a value that was not
            finite.
        evaluation: Rows by features ("learned", "untrained", "raw pixels"). A row has the keys
            protocol, accuracy in [0, 1], settings, confusion and classes. confusion holds counts
            [C, C], with true classes as rows and predicted classes as columns, or None.
        map: The feature map.
        preview: An encoded image of augmented views.
    """

    name: str
    facts: Mapping[str, str] = {}
    config: Mapping[str, Any] = {}
    metrics: Sequence[Mapping[str, float | None]] = ()
    evaluation: Mapping[str, Sequence[Mapping[str, Any]]] = {}
    map: Map | None = None
    preview: bytes | None = None


def write(file: str | Path, runs: Sequence[Run], pictures: Sequence[Pictures] = ()) -> None:
    """Writes the HTML page of one or more runs; an interrupted write leaves no partial file.

    Args:
        file: Path of the page. Missing folders are created.
        runs: The runs, in the order of the page.
        pictures: Sets of images that the runs' maps refer to by index.

    Raises:
        UserError: If lengths or indices do not match. Nothing is written then.
    """
    _check(runs, pictures)
    text = _page(runs, pictures)
    paths.write_whole(file, text)


def _page(runs, pictures) -> str:
    style = _static("page.css")
    script = "\n".join(_static(f"{name}.js") for name in _SCRIPTS)
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
    """Returns the hash by which a content security policy allows an inline style or script."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _data(runs, pictures) -> str:
    """Returns the page's data as JSON that is safe inside a script element.

    The text is ASCII and has no "<", so that no name in it can end the element.
    """
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
    """Converts a dict to a list of [name, value] pairs, so that JavaScript keeps the order."""
    return [(k, v if isinstance(v, str) else repr(v)) for k, v in values.items()]


def _columns(lines) -> dict[str, list[float | None]]:
    names = dict.fromkeys(name for line in lines for name in line)
    return {name: [_round(line.get(name), 6) for line in lines] for name in names}


def _row(row) -> dict[str, Any]:
    return {
        "protocol": row["protocol"],
        "accuracy": row["accuracy"],
        "settings": _pairs(row.get("settings") or {}),
        "confusion": row.get("confusion"),
        "classes": row.get("classes"),
    }


def _map(run_map: Map) -> dict[str, Any]:
    points = {
        name: [[_round(x, 5), _round(y, 5)] for x, y in points]
        for name, points in run_map.projections.items()
    }
    cosines = [[_round(value, 4) for value in row] for row in run_map.similarities]
    return {**run_map._asdict(), "projections": list(points.items()), "similarities": cosines}


def _pictures(pictures: Pictures) -> dict[str, Any]:
    return {**pictures._asdict(), "sprite": _url(pictures.sprite)}


def _round(value, digits: int) -> float | None:
    """Rounds a number to a few significant digits; returns None for None or a non-finite number."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def _url(image: bytes) -> str:
    return f"data:{_media_type(image)};base64,{base64.b64encode(image).decode()}"


def _media_type(image: bytes) -> str:
    for start, name in _MEDIA.items():
        if image.startswith(start):
            return name
    start = image[:4]
    raise errors.UserError(
        f"an image must be an encoded WebP, JPEG or PNG; this one starts with {start!r}."
    )


def _check(runs, pictures) -> None:
    for thumbnails in pictures:
        _check_pictures(thumbnails)
    for run in runs:
        if run.map is not None:
            _check_map(run.name, run.map, pictures)
        if any("step" not in metrics for metrics in run.metrics):
            raise errors.UserError(
                f"run {run.name}: a line of the metrics has no step; every line needs one."
            )
        for row in (row for rows in run.evaluation.values() for row in rows):
            _check_confusion(run.name, row)
        if run.preview:
            _media_type(run.preview)


def _check_pictures(pictures: Pictures) -> None:
    _media_type(pictures.sprite)
    tile = pictures.tile
    columns = pictures.columns
    if tile < 1 or columns < 1:
        raise errors.UserError(f"tile ({tile}) and columns ({columns}) must be 1 or more.")
    if pictures.labels is not None:
        _check_length("labels", pictures.labels, len(pictures.names), "names")
        num_classes = len(pictures.classes or ()) or math.inf
        _check_range("labels", pictures.labels, num_classes, "classes")


def _check_map(name: str, run_map: Map, pictures) -> None:
    prefix = f"run {name}: "
    _check_range(f"{prefix}map.pictures", [run_map.pictures], len(pictures), "image sets")
    if not run_map.projections:
        raise errors.UserError(
            f'{prefix}the map has no projection; give at least one, such as {{"PCA": points}}.'
        )
    count = len(pictures[run_map.pictures].names)
    for projection, points in run_map.projections.items():
        _check_length(prefix + projection, points, count, "images")
        if not all(math.isfinite(v) for point in points for v in point):
            raise errors.UserError(
                f"{prefix}{projection} has points that are not finite; leave this projection out."
            )
    _check_length(f"{prefix}neighbours", run_map.neighbours, count, "images")
    _check_length(f"{prefix}similarities", run_map.similarities, count, "images")
    for neighbours, cosines in zip(run_map.neighbours, run_map.similarities, strict=True):
        _check_length(f"{prefix}a row of similarities", cosines, len(neighbours), "neighbours")
        _check_range(f"{prefix}neighbours", neighbours, count, "images")


def _check_confusion(name: str, row) -> None:
    confusion = row.get("confusion")
    classes = row.get("classes")
    if confusion is None:
        return
    size = len(confusion)
    for counts in confusion:
        _check_length(f"run {name}: a row of the confusion matrix", counts, size, "rows")
    if classes is not None:
        _check_length(f"run {name}: classes of the confusion matrix", classes, size, "rows")


def _check_length(name: str, values, expected: int, items: str) -> None:
    count = len(values)
    if count != expected:
        raise errors.UserError(
            f"{name}: got {count} values for {expected} {items}; the counts must match."
        )


def _check_range(name: str, values, end: float, items: str) -> None:
    for value in values:
        if not 0 <= value < end:
            limit = "" if math.isinf(end) else f" and less than {end}, the number of {items}"
            raise errors.UserError(f"{name} is {value}, but must be at least 0{limit}.")
