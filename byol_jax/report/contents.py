"""Collects the contents of the HTML report from the workdirs of runs."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from byol_jax import encoders, workdir
from byol_jax.builders import inputs
from byol_jax.config import saved
from byol_jax.report import feature_map, page, preview
from byol_jax.system import paths

NUM_PICTURES = 2000
_THUMBNAIL = 64  # largest side in pixels


def write(
    workdirs: Sequence[str | Path],
    out: str | Path,
    *,
    num_pictures: int = NUM_PICTURES,
    umap: bool = False,
) -> None:
    """Writes an HTML report of one or several runs, finished or not, as a single file.

    A section is left out if a run lacks its data.

    Args:
        workdirs: Working directories of the runs.
        out: Path of the HTML file.
        num_pictures: Number of images in the feature map. They are taken at regular intervals from
            the test split, or from the training split if the run has no labels.
        umap: Also lay out the feature map by UMAP, in addition to PCA.

    Raises:
        FileNotFoundError: If a folder is not the working directory of a run.
        ImportError: If `umap` is True and umap-learn is not installed.
    """
    folders = [paths.local(folder) for folder in workdirs]
    configs = [saved.load(folder) for folder in folders]  # fails before the long work if one is bad
    runs = []
    pictures: dict[str, tuple[np.ndarray, page.Pictures]] = {}
    for folder, config in zip(folders, configs, strict=True):
        run_map = _map(config, folder, pictures, num_pictures, umap)
        runs.append(_run(_name(folder, folders), config, folder, run_map))
    page.write(out, runs, [thumbnails for _, thumbnails in pictures.values()])


def _name(folder, folders) -> str:
    """Returns the folder's name, or its whole path if another folder has the same name."""
    name = folder.resolve().name
    same = [other for other in folders if other.resolve().name == name]
    return name if len(same) == 1 else str(folder)


def _run(name, config, folder, run_map) -> page.Run:
    metrics = workdir.read_metrics(folder)
    evaluation = workdir.read_evaluation(folder)
    classes = evaluation.get("classes")
    rows_by_features = {
        features: [{**row, "classes": classes} for row in rows]
        for features, rows in evaluation.get("accuracy", {}).items()
    }
    return page.Run(
        name=name,
        facts=_facts(config, metrics, evaluation),
        config=saved.flat(json.loads(config.to_json_best_effort())),
        metrics=metrics,
        evaluation=rows_by_features,
        map=run_map,
        preview=_preview(config),
    )


def _facts(config, metrics, evaluation) -> dict[str, str]:
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
    accuracy = evaluation.get("accuracy", {})
    rows = [row for features_rows in accuracy.values() for row in features_rows]
    if rows and "commit" in rows[0]["settings"]:
        facts["commit"] = rows[0]["settings"]["commit"]
    return facts


def _preview(config) -> bytes | None:
    try:
        return _encode(preview.sheet(config, num_images=4, num_draws=3), "png")
    except (OSError, ValueError) as error:
        print(f"The report has no preview of the views: {error}")
        return None


def _map(config, folder, pictures, num_pictures, umap) -> page.Map | None:
    """Computes the feature map of a run; returns None and prints the reason if it cannot.

    `pictures` holds the images that runs share. New images are added to it.
    """
    file = folder / workdir.ENCODER
    if not file.exists():
        print(f"The report has no feature map: {folder} has no {file.name} yet.")
        return None
    encoder = encoders.load(file)
    key = json.dumps([config.data.to_dict(), bool(config.evaluate.protocols)])
    try:
        if key not in pictures:
            pictures[key] = _pictures(config, encoder, num_pictures)
    except (OSError, ValueError) as error:
        print(f"The report has no feature map: {error}")
        return None
    images, _ = pictures[key]
    features = encoder(images)
    if not np.all(np.isfinite(features)):
        print(f"The report has no feature map: some features of {folder} are not finite.")
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
    """Reads images as input of the encoder, [N, H, W, C], and makes their thumbnails."""
    section = config.data.to_dict()
    section["image_size"] = section["image_size"] or encoder.info.image_shape[0]
    source = inputs.open_split(section, config.data.train_split)
    if source.num_classes is not None and config.evaluate.protocols:
        source = inputs.open_split(section, config.data.test_split)
    index = np.linspace(0, len(source) - 1, min(num_pictures, len(source))).astype(np.int32)
    examples = source.take(index)
    images = examples["image"]
    sprite, tile, columns = _sprite(images)
    thumbnails = page.Pictures(
        sprite=sprite,
        tile=tile,
        columns=columns,
        names=[f"{source.split} {number}" for number in index],
        labels=examples["label"].tolist() if "label" in examples else None,
        classes=source.classes,
    )
    return images, thumbnails


def _sprite(images: np.ndarray) -> tuple[bytes, int, int]:
    """Joins images into one WebP; also returns a tile's side in pixels and the tiles per row."""
    tile = min(_THUMBNAIL, max(images.shape[1:3]))
    columns = int(np.ceil(len(images) ** 0.5))
    sheet = Image.new("RGB", (columns * tile, -(-len(images) // columns) * tile))
    for number, image in enumerate(images):
        small = Image.fromarray(preview.as_rgb(image)).resize((tile, tile), Image.Resampling.BOX)
        sheet.paste(small, (number % columns * tile, number // columns * tile))
    return _encode(sheet, "webp", quality=85), tile, columns


def _encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
