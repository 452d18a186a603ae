"""The command `report`: write an HTML page about one or more runs."""

import argparse

from byol_jax import errors
from byol_jax.commands import arguments
from byol_jax.report import contents

EXAMPLE = "report runs/a runs/b --out=report.html"


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `report`."""
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="workdirs of runs, which need not be finished"
    )
    parser.add_argument(
        "--out", metavar="FILE.html", help="page to write; it needs no other files and no network"
    )
    parser.add_argument(
        "--umap",
        action="store_true",
        help="also draw the map of features with UMAP (needs the extra umap)",
    )
    parser.require("out")


def run(flags: argparse.Namespace) -> None:
    """Writes the HTML page about the runs."""
    if not flags.runs:
        raise errors.UserError(
            "report needs the workdirs of runs: report RUN [RUN …] --out=FILE.html"
        )
    if not flags.out.endswith((".html", ".htm")):
        raise errors.UserError(
            f"--out={flags.out}: the report is an HTML page; give a name that ends in .html."
        )
    contents.write(flags.runs, flags.out, umap=flags.umap)
    print(f"wrote {flags.out}")
