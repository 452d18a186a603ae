"""The command `import`: convert weights from another project into an encoder file."""

import argparse
from pathlib import Path

from byol_jax import encoders
from byol_jax.commands import arguments, export
from byol_jax.system import version

EXAMPLE = "import --weights=moco_v2_800ep_pretrain.pth.tar --out=encoder.safetensors"


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `import`."""
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="weights of a ResNet from torchvision, timm, MoCo, SimCLR or BYOL, as .safetensors, "
        ".npz or a PyTorch file; nothing in the file is executed",
    )
    parser.add_argument(
        "--out",
        metavar="FILE.safetensors|FOLDER",
        help="file to write, or a folder in which to write model.safetensors; a model card is "
        "written to the same folder",
    )
    parser.require("weights", "out")


def run(flags: argparse.Namespace) -> None:
    """Converts the weights and prints the names of the files it writes."""
    for file in convert(flags.weights, flags.out):
        print(f"wrote {file}")


def convert(weights: str | Path, out: str | Path) -> tuple[Path, Path]:
    """Converts weights from another project into an encoder file with a model card.

    Nothing in the file of weights is executed.

    Args:
        weights: A file with weights from torchvision, timm, MoCo, SimCLR or BYOL (see
            encoders.foreign), or an encoder file.
        out: The file to write, which ends in .safetensors, or a folder in which to write
            model.safetensors.

    Returns:
        The paths of the encoder file and of the model card.

    Raises:
        FileNotFoundError: The file of weights does not exist.
        UserError: The file does not contain the weights of a supported network.
    """
    if encoders.file.is_encoder(weights):
        return export.export(encoders.load(weights), out)
    loaded = encoders.foreign.load(weights)
    channels = loaded.params["stem_conv"]["kernel"].shape[2]
    description = encoders.EncoderInfo(
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
    return export.export(encoders.Encoder(loaded.params, loaded.stats, description), out)
