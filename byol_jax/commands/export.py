"""The command `export`: write the encoder of a run to a file, for byol_jax or PyTorch."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from byol_jax import checkpoint, encoders, errors, workdir
from byol_jax.builders import encoder as build_encoder
from byol_jax.commands import arguments
from byol_jax.config import check
from byol_jax.system import paths
from byol_jax.training import start

EXAMPLE = "export --workdir=runs/quickstart --out=encoder.safetensors --layout=torchvision"
_OTHER_FORMATS = (".bin", ".ckpt", ".npz", ".onnx", ".pkl", ".pt", ".pth")
LAYOUTS = (*encoders.file.LAYOUTS, "timm")  # timm names the arrays of a ResNet as torchvision does


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `export`."""
    parser.add_argument(
        "--workdir", metavar="FOLDER", help="workdir of the run whose encoder is exported"
    )
    parser.add_argument(
        "--encoder",
        metavar="FILE",
        help="existing encoder file to export again, for example in another layout",
    )
    parser.add_argument(
        "--out",
        metavar="FILE.safetensors|FOLDER",
        help="file to write, or a folder in which to write model.safetensors; a model card is "
        "written to the same folder",
    )
    parser.add_argument(
        "--layout",
        type=arguments.choice(*LAYOUTS),
        default="flax",
        metavar="|".join(LAYOUTS),
        help="names and shapes of the arrays: flax for byol_jax, torchvision or timm for PyTorch",
    )
    parser.add_argument(
        "--step",
        type=int,
        metavar="N",
        help="training step of the run's checkpoint to export; by default the newest",
    )
    parser.add_config("config file; by default the run's config", required=False)
    parser.require("out")
    parser.require_one("encoder", "workdir")


def run(flags: argparse.Namespace) -> None:
    """Exports an encoder and prints the names of the files it writes."""
    results = {}
    if flags.encoder is not None:
        encoder = encoders.load(flags.encoder)
    else:
        encoder = export_run(arguments.load_config(flags), flags.workdir, flags.step)
        results = results_of(flags.workdir, encoder.info.step)
    for file in export(encoder, flags.out, layout=flags.layout, results=results):
        print(f"wrote {file}")


def export_run(config: ConfigDict, folder: str | Path, step: int | None) -> encoders.Encoder:
    """Restores the encoder of a run from one of its checkpoints.

    Args:
        config: The experiment's config.
        folder: The workdir of the run.
        step: The training step of the checkpoint; None takes the newest.

    Returns:
        The encoder.
    """
    check.check(config, complete=False)
    experiment = start.prepare(config, folder, writes=False)
    with checkpoint.Checkpoints(experiment.workdir, keep=None) as checkpoints:
        state = checkpoints.restore(experiment.first, step=step)
    return build_encoder.of_state(config, experiment.parts.method, experiment.source, state)


def export(
    encoder: encoders.Encoder,
    out: str | Path,
    *,
    layout: str = "flax",
    results: Mapping[str, Sequence[Any]] | None = None,
) -> tuple[Path, Path]:
    """Writes an encoder file and, in the same folder, its model card.

    Args:
        encoder: The encoder.
        out: The file to write, which ends in .safetensors, or a folder in which to write
            model.safetensors.
        layout: One of LAYOUTS: the library whose names and shapes the arrays get.
        results: Accuracies for the model card, in the form of results_of.

    Returns:
        The paths of the encoder file and of the model card.

    Raises:
        UserError: The layout is unknown, the network does not exist in torchvision, or `out` ends
            in the suffix of another format.
    """
    if layout not in LAYOUTS:
        names = ", ".join(LAYOUTS)
        raise errors.UserError(f"unknown layout {layout!r}; choose one of {names}.")
    layout = "torchvision" if layout == "timm" else layout
    out = paths.local(out)
    if out.suffix in _OTHER_FORMATS:
        raise errors.UserError(
            f"--out={out}: export writes safetensors files; give a name that ends in "
            ".safetensors, or a folder."
        )
    out = out if out.suffix == ".safetensors" else out / "model.safetensors"
    encoders.file.write(out, encoder.params, encoder.stats, encoder.info, layout=layout)
    card = encoders.card.place(out)
    text = encoders.card.text(
        out.name,
        encoder.info,
        layout,
        num_features=encoder.num_features,
        results=results or {},
    )
    paths.write_whole(card, text)
    return out, card


def results_of(folder: str | Path, step: int) -> dict[str, list[dict[str, Any]]]:
    """Reads the evaluation results of a run if they cover the given checkpoint.

    Args:
        folder: The workdir of the run.
        step: The training step of the checkpoint.

    Returns:
        The rows of evaluation.json by the name of the features, such as "learned"; empty if this
        step was not evaluated.
    """
    try:
        accuracy = workdir.read_evaluation(folder)["accuracy"]
    except (OSError, ValueError, KeyError):
        return {}
    rows = [row for measured in accuracy.values() for row in measured]
    return accuracy if any(row["settings"].get("step") == step for row in rows) else {}
