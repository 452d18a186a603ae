"""python -m byol_jax export: write the encoder of a run to a file, for byol_jax or PyTorch."""

import argparse
from pathlib import Path

from ml_collections import ConfigDict

from byol_jax import checkpoint, encoders, errors, workdir
from byol_jax.builders import encoder as build_encoder
from byol_jax.commands import arguments
from byol_jax.config import check
from byol_jax.system import paths
from byol_jax.training import start

EXAMPLE = "export --workdir=runs/quickstart --out=encoder.safetensors --layout=torchvision"
_OTHER_FORMATS = (".bin", ".ckpt", ".npz", ".onnx", ".pkl", ".pt", ".pth")
LAYOUTS = (*encoders.file.LAYOUTS, "timm")  # timm's names of a ResNet are torchvision's


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `export`."""
    parser.add_argument("--workdir", metavar="FOLDER", help="a run")
    parser.add_argument("--encoder", metavar="FILE", help="an encoder's file, in place of a run")
    parser.add_argument(
        "--out", metavar="FILE.safetensors|FOLDER", help="what to write, with a model card beside"
    )
    parser.add_argument(
        "--layout",
        type=arguments.choice(*LAYOUTS),
        default="flax",
        help="names and shapes of the arrays: flax, torchvision or timm",
    )
    parser.add_argument(
        "--step", type=int, metavar="N", help="of which checkpoint; the newest unless set"
    )
    parser.add_config("config file, in place of the run's own", required=False)
    parser.require("out")
    parser.require_one("encoder", "workdir")


def run(flags: argparse.Namespace) -> None:
    """Exports, and prints what was written."""
    results = {}
    if flags.encoder is not None:
        encoder = encoders.load(flags.encoder)
    else:
        encoder = export_run(arguments.load_config(flags), flags.workdir, flags.step)
        results = results_of(flags.workdir, encoder.about.step)
    for file in export(encoder, flags.out, layout=flags.layout, results=results):
        print(f"wrote {file}")


def export_run(config: ConfigDict, folder: str, step: int | None) -> encoders.Encoder:
    """The encoder of a checkpoint of a workdir, the newest one without a step."""
    check.check(config, complete=False)
    experiment = start.prepare(config, folder, writes=False)
    with checkpoint.Checkpoints(experiment.workdir, keep=None) as checkpoints:
        state = checkpoints.restore(experiment.first, step=step)
    return build_encoder.of_state(config, experiment.parts.method, experiment.source, state)


def export(
    encoder: encoders.Encoder, out: str | Path, *, layout: str = "flax", results: dict | None = None
) -> tuple[Path, Path]:
    """Writes the encoder's file and, beside it, its card; gives both paths.

    out: a file that ends in .safetensors, or a folder, in which it is called model.safetensors.
    layout: one of LAYOUTS.  results: rows by features' name, for the card.

    Raises UserError for an unknown layout, and for a network that torchvision's has no place for.
    """
    if layout not in LAYOUTS:
        raise errors.UserError(f"unknown layout {layout!r}; choose {', '.join(LAYOUTS)}.")
    layout = "torchvision" if layout == "timm" else layout
    out = paths.local(out)
    if out.suffix in _OTHER_FORMATS:
        raise errors.UserError(
            f"--out={out}: the file is safetensors; end its name in .safetensors, or name a folder."
        )
    out = out if out.suffix == ".safetensors" else out / "model.safetensors"
    encoders.file.write(out, encoder.params, encoder.stats, encoder.about, layout=layout)
    card = encoders.card.place(out)
    text = encoders.card.text(
        out.name,
        encoder.about,
        layout,
        num_features=encoder.num_features,
        results=results or {},
    )
    paths.write_whole(card, text)
    return out, card


def results_of(folder: str | Path, step: int) -> dict:
    """The rows that were measured of this step in a workdir, by features' name."""
    try:
        accuracy = workdir.read_evaluation(folder)["accuracy"]
    except (OSError, ValueError, KeyError):
        return {}
    rows = [row for measured in accuracy.values() for row in measured]
    return accuracy if any(row["settings"].get("step") == step for row in rows) else {}
