"""Encoders out of runs and into them: to a file with its card, and from weights made elsewhere."""

import json
from pathlib import Path

from ml_collections import ConfigDict

from byol_jax import data, evaluate, runtime, train_state, views
from byol_jax import encoder as encoders

LAYOUTS = (*encoders.file.LAYOUTS, "timm")  # timm's names of a ResNet are torchvision's


def about(config: ConfigDict, source: data.Source, step: int) -> encoders.About:
    """What a file tells of the encoder of a run, whose training split is `source`."""
    view = views.evaluation_settings(config)
    method, patches = config.method, None
    if "patch_size" in method:
        patches = {"size": method.patch_size, "stride": method.patch_stride}
    return encoders.About(
        encoder=config.encoder.to_dict(),
        norm=config.batch_norm.get("kind", "batch"),
        image_shape=_image_shape(source, view),
        dtype=source.dtype.name,
        view=view,
        patches=patches,
        method=method.name,
        data=config.data.name,
        step=step,
        commit=runtime.commit(),
    )


def _image_shape(source, view):
    """That of the evaluation's images; without one, the least that its view needs not enlarge."""
    if source.has_size:
        return source.image_shape
    side = round(view["size"] / view.get("proportion", 1.0))
    return side, side, source.num_channels


def of_state(
    config: ConfigDict, source: data.Source, state: train_state.TrainState
) -> encoders.Encoder:
    """The encoder of a train state on the host."""
    told = about(config, source, int(state.step))
    return encoders.Encoder(state.params["encoder"], state.stats["encoder"], told)


def export(
    encoder: encoders.Encoder, out: str | Path, *, layout: str = "flax", results: dict | None = None
) -> tuple[Path, Path]:
    """Writes the encoder's file and, beside it, its card; gives both paths.

    out: a file that ends in .safetensors, or a folder, in which it is called model.safetensors.
    layout: one of LAYOUTS.  results: rows by features' name, for the card.

    Raises ValueError for an unknown layout, and for a network that torchvision's has no place for.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}; choose {', '.join(LAYOUTS)}.")
    layout = "torchvision" if layout == "timm" else layout
    out = Path(out).expanduser()
    out = out if out.suffix == ".safetensors" else out / "model.safetensors"
    encoders.file.write(out, encoder.params, encoder.stats, encoder.about, layout=layout)
    card = encoders.card.place(out)
    told = {"num_features": encoder.num_features, "results": results or {}}
    card.write_text(encoders.card.text(out.name, encoder.about, layout, **told), encoding="utf-8")
    return out, card


def results_of(workdir: str | Path, step: int) -> dict:
    """The rows that were measured of this step in a workdir, by features' name."""
    try:
        text = (Path(workdir).expanduser() / evaluate.FILE).read_text(encoding="utf-8")
        accuracy = json.loads(text)["accuracy"]
    except (OSError, ValueError, KeyError):
        return {}
    measured = [row for rows in accuracy.values() for row in rows]
    return accuracy if any(row["settings"].get("step") == step for row in measured) else {}


def from_elsewhere(weights: str | Path, out: str | Path) -> tuple[Path, Path]:
    """Writes weights that another project trained as a file of an encoder, and its card.

    weights: a file of torchvision's names, or MoCo's, SimCLR's or BYOL's (see encoder.foreign).

    Raises FileNotFoundError where there is none, ValueError where it is none of these; nothing in
    the file is run.
    """
    if encoders.file.is_encoder(weights):
        return export(encoders.load(weights), out)
    found = encoders.foreign.load(weights)
    channels = found.params["stem_conv"]["kernel"].shape[2]
    told = encoders.About(
        encoder=found.encoder,
        norm="batch",
        image_shape=(found.image_size, found.image_size, channels),
        dtype="uint8",
        view=found.view,
        patches=None,
        method=found.kind,
        data=encoders.card.UNKNOWN,
        step=0,
        commit=runtime.commit(),
    )
    return export(encoders.Encoder(found.params, found.stats, told), out)
