"""The report of runs: what they left in their workdirs, and what their features look like."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from byol_jax import encoders, workdir
from byol_jax.builders import inputs
from byol_jax.config import saved
from byol_jax.report import feature_map, page, preview
from byol_jax.system import paths

NUM_PICTURES = 2000
_THUMBNAIL = 64  # pixels of a side, at most


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
    folders = [paths.local(folder) for folder in workdirs]
    configs = [saved.load(folder) for folder in folders]  # all, before the work begins
    runs, pictures = [], {}
    for folder, config in zip(folders, configs, strict=True):
        shown = _map(config, folder, pictures, num_pictures, umap)
        runs.append(_run(_name(folder, folders), config, folder, shown))
    page.write(out, runs, [shown for _, shown in pictures.values()])


def _name(folder, folders):
    """The folder's name, or the whole path where two are called the same."""
    name = folder.resolve().name
    same = [other for other in folders if other.resolve().name == name]
    return name if len(same) == 1 else str(folder)


def _run(name, config, folder, shown) -> page.Run:
    metrics = workdir.read_metrics(folder)
    evaluation = workdir.read_evaluation(folder)
    classes = evaluation.get("classes")
    rows = {
        features: [{**row, "classes": classes} for row in found]
        for features, found in evaluation.get("accuracy", {}).items()
    }
    return page.Run(
        name=name,
        facts=_facts(config, metrics, evaluation),
        config=saved.flat(json.loads(config.to_json_best_effort())),
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


def _map(config, folder, pictures, num_pictures, umap) -> page.Map | None:
    """What the run's encoder makes of its pictures; adds them to `pictures` where they are new."""
    file = folder / workdir.ENCODER
    if not file.exists():
        print(f"no map of features in the report: {folder} has no {file.name} yet.")
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
        print(f"no map of features in the report: some of {folder}'s are not finite.")
        return None
    plane, explained = feature_map.plane(features)
    projections = {"PCA": plane}
    if umap:
        projections["UMAP"] = feature_map.umap_plane(features)
    nearest, similarities = feature_map.nearest(features)
    return page.Map(
        pictures=list(pictures).index(key),
        projections={name: np.round(xy, 4).tolist() for name, xy in projections.items()},
        neighbours=nearest.tolist(),
        similarities=np.round(similarities, 3).tolist(),
        explained=explained,
    )


def _pictures(config: ConfigDict, encoder, num_pictures) -> tuple[np.ndarray, page.Pictures]:
    """Images for the encoder, [N, H, W, C], and the same as thumbnails."""
    section = config.data.to_dict()
    section["image_size"] = section["image_size"] or encoder.about.image_shape[0]
    source = inputs.open_split(section, config.data.train_split)
    if source.num_classes is not None and config.evaluate.protocols:
        source = inputs.open_split(section, config.data.test_split)
    chosen = np.linspace(0, len(source) - 1, min(num_pictures, len(source))).astype(np.int32)
    taken = source.take(chosen)
    sprite, tile, columns = _sprite(taken["image"])
    pictures = page.Pictures(
        sprite=sprite,
        tile=tile,
        columns=columns,
        names=[f"{source.split} {number}" for number in chosen],
        labels=taken["label"].tolist() if "label" in taken else None,
        classes=source.classes,
    )
    return taken["image"], pictures


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
