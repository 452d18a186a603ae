"""The command `preview`: draw training images and their augmented views."""

import argparse

from byol_jax.commands import arguments
from byol_jax.config import check
from byol_jax.report import preview

EXAMPLE = "preview --config=configs/quickstart.py --out=views.png"


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `preview`."""
    parser.add_config("config file of the experiment")
    parser.add_argument(
        "--out",
        metavar="FILE.png",
        help="image file to write, in any format that Pillow supports: one row per training image, "
        "with several random draws of each view",
    )
    parser.require("out")


def run(flags: argparse.Namespace) -> None:
    """Writes an image file of training images and their views."""
    config = arguments.load_config(flags)
    check.check(config)
    preview.preview(config, flags.out)
    print(f"wrote {flags.out}: one row per image, one column per draw of each view")
