"""python -m byol_jax import: make an encoder's file of weights from another project."""

import argparse
from pathlib import Path

from byol_jax import encoders
from byol_jax.commands import arguments, export
from byol_jax.system import version

EXAMPLE = "import --weights=moco_v2_800ep_pretrain.pth.tar --out=encoder.safetensors"


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `import`."""
    parser.add_argument("--weights", metavar="FILE", help="a file that another project wrote")
    parser.add_argument(
        "--out", metavar="FILE.safetensors|FOLDER", help="what to write, with a model card beside"
    )
    parser.require("weights", "out")


def run(flags: argparse.Namespace) -> None:
    """Imports, and prints what was written."""
    for file in from_elsewhere(flags.weights, flags.out):
        print(f"wrote {file}")


def from_elsewhere(weights: str | Path, out: str | Path) -> tuple[Path, Path]:
    """Writes weights that another project trained as a file of an encoder, and its card.

    weights: a file of torchvision's names, or MoCo's, SimCLR's or BYOL's (see encoders.foreign).

    Raises FileNotFoundError where there is none, UserError where it is none of these; nothing in
    the file is run.
    """
    if encoders.file.is_encoder(weights):
        return export.export(encoders.load(weights), out)
    loaded = encoders.foreign.load(weights)
    channels = loaded.params["stem_conv"]["kernel"].shape[2]
    about = encoders.About(
        encoder=loaded.encoder,
        norm="batch",
        image_shape=(loaded.image_size, loaded.image_size, channels),
        dtype="uint8",
        view=loaded.view,
        patches=None,
        method=loaded.kind,
        data=encoders.card.UNKNOWN,
        step=0,
        commit=version.commit(),
    )
    return export.export(encoders.Encoder(loaded.params, loaded.stats, about), out)
