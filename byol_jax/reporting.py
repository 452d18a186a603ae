"""The report of runs: what they left in their workdirs, and what their features look like."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from byol_jax import checkpoint, evaluate, preview, saved
from byol_jax import encoder as encoders
from byol_jax.report import page

NUM_PICTURES = 2000
_THUMBNAIL = 64  # pixels of a side, at most
_NEIGHBOURS = 12


def write(
    workdirs: Sequence[str | Path],
    out: str | Path,
    *,
    num_pictures: int = NUM_PICTURES,
    umap: bool = False,
) -> None:
    """Writes one page about the runs in these workdirs, finished or not.

    num_pictures: of the test split, or, without labels, the training split, evenly spaced, that are
        laid out by their features. umap: as UMAP lays them out too.

    Raises FileNotFoundError where a workdir has had no run, and ImportError, naming the extra,
    where UMAP is wanted and is not there.
    """
    runs, pictures = [], {}
    for workdir in map(Path, workdirs):
        config = saved.get_config(str(workdir))
        name = _name(workdir, workdirs)
        shown = _map(config, workdir, pictures, num_pictures, umap)
        runs.append(_run(name, config, workdir, shown))
    page.write(Path(out).expanduser(), runs, [made for _, made in pictures.values()])


def _name(workdir, workdirs):
    """The folder's name, or the whole path where two are called the same."""
    name = workdir.resolve().name
    same = [other for other in workdirs if Path(other).resolve().name == name]
    return name if len(same) == 1 else str(workdir)


def _run(name, config, workdir, shown) -> page.Run:
    metrics = _lines(workdir / "metrics.jsonl")
    evaluation = _json(workdir / evaluate.FILE)
    classes = evaluation.get("classes")
    rows = {
        features: [{**row, "classes": classes} for row in found]
        for features, found in evaluation.get("accuracy", {}).items()
    }
    return page.Run(
        name=name,
        facts=_facts(config, metrics, evaluation),
        config=checkpoint.fields(json.loads(config.to_json_best_effort())),
        metrics=metrics,
        evaluation=rows,
        map=shown,
        preview=_preview(config),
    )


def _facts(config, metrics, evaluation):
    facts = {
        "method": config.method.name,
        "encoder": config.encoder.name,
        "data": f"{config.data.name} {config.data.train_split}",
        "batch_size": f"{config.batch_size:,}",
        "epochs": f"{config.epochs:g}",
        "seed": str(config.seed),
    }
    if metrics:
        facts["step"] = f"{metrics[-1]['step']:,}"
        speeds = [x for line in metrics if (x := line.get("images_per_second")) is not None]
        if speeds:
            facts["images/s"] = f"{np.median(speeds):,.0f}"
    rows = [row for found in evaluation.get("accuracy", {}).values() for row in found]
    if rows and "commit" in rows[0]["settings"]:
        facts["commit"] = rows[0]["settings"]["commit"]
    return facts


def _preview(config) -> bytes | None:
    try:
        return _encoded(preview.sheet(config, num_images=4, num_draws=3), "png")
    except (OSError, ValueError) as error:
        print(f"no preview of the views in the report: {error}")
        return None


def _map(config, workdir, pictures, num_pictures, umap) -> page.Map | None:
    """What the run's encoder makes of its pictures; adds them to `pictures` where they are new."""
    file = workdir / encoders.file.NAME
    if not file.exists():
        print(f"no map of features in the report: {workdir} has no {file.name} yet.")
        return None
    encoder = encoders.load(file)
    key = json.dumps([config.data.to_dict(), bool(config.evaluate.protocols)])
    try:
        if key not in pictures:
            pictures[key] = _pictures(config, encoder, num_pictures)
    except (OSError, ValueError) as error:
        print(f"no map of features in the report: {error}")
        return None
    features = encoder(pictures[key][0])
    if not np.all(np.isfinite(features)):
        print(f"no map of features in the report: some of {workdir}'s are not finite.")
        return None
    plane, explained = _plane(features)
    projections = {"PCA": plane, **({"UMAP": _umap(features)} if umap else {})}
    nearest, similarities = _nearest(features)
    return page.Map(
        pictures=list(pictures).index(key),
        projections={name: np.round(xy, 4).tolist() for name, xy in projections.items()},
        neighbours=nearest.tolist(),
        similarities=np.round(similarities, 3).tolist(),
        explained=explained,
    )


def _pictures(config: ConfigDict, encoder, num_pictures) -> tuple[np.ndarray, page.Pictures]:
    """Images for the encoder, [N, H, W, C], and the same as thumbnails."""
    given = {**config.data.to_dict()}
    given["image_size"] = given["image_size"] or encoder.about.image_shape[0]
    source = evaluate.open_split(given, config.data.train_split)
    if source.num_classes is not None and config.evaluate.protocols:
        source = evaluate.open_split(given, config.data.test_split)
    chosen = np.linspace(0, len(source) - 1, min(num_pictures, len(source))).astype(np.int32)
    taken = source.take(chosen)
    sprite, tile, columns = _sprite(taken["image"])
    made = page.Pictures(
        sprite=sprite,
        tile=tile,
        columns=columns,
        names=[f"{source.split} {number}" for number in chosen],
        labels=taken["label"].tolist() if "label" in taken else None,
        classes=source.classes,
    )
    return taken["image"], made


def _sprite(images: np.ndarray) -> tuple[bytes, int, int]:
    """All images in one picture: (WebP, pixels of a tile's side, tiles in a row)."""
    tile = min(_THUMBNAIL, max(images.shape[1:3]))
    columns = int(np.ceil(len(images) ** 0.5))
    sheet = Image.new("RGB", (columns * tile, -(-len(images) // columns) * tile))
    for number, image in enumerate(images):
        small = Image.fromarray(preview.as_rgb(image)).resize((tile, tile), Image.Resampling.BOX)
        sheet.paste(small, (number % columns * tile, number // columns * tile))
    return _encoded(sheet, "webp"), tile, columns


def _encoded(picture, kind) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 85} if kind == "webp" else {}))
    return buffer.getvalue()


def _plane(features) -> tuple[np.ndarray, float]:
    """The two directions of most variance, [N, 2], and the share of the variance they show."""
    centred = features - features.mean(axis=0, keepdims=True)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    total = float(np.sum(singular**2)) or 1.0
    plane = np.zeros((len(features), 2), np.float32)
    count = min(2, len(singular))
    plane[:, :count] = left[:, :count] * singular[:count]
    return plane, float(np.sum(singular[:2] ** 2)) / total


def _umap(features) -> np.ndarray:
    try:
        import umap
    except ImportError as error:
        raise ImportError("--umap needs umap-learn; run pip install 'byol_jax[umap]'.") from error
    return umap.UMAP(n_components=2, metric="cosine", random_state=0).fit_transform(features)


def _nearest(features) -> tuple[np.ndarray, np.ndarray]:
    """The nearest others of each by cosine, [N, k], nearest first, and their cosines."""
    norms = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    cosines = (features / norms) @ (features / norms).T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1)[:, : min(_NEIGHBOURS, len(features) - 1)]
    return order, np.take_along_axis(cosines, order, axis=1)


def _lines(file: Path) -> list[dict]:
    """The lines of metrics; a run that was killed may have left its last one half."""
    found = []
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return [line for line in found if isinstance(line, dict) and "step" in line]


def _json(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
