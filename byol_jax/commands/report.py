"""python -m byol_jax report: write one HTML page about one or several runs."""

import argparse

from byol_jax import errors
from byol_jax.commands import arguments
from byol_jax.report import contents

EXAMPLE = "report runs/a runs/b --out=report.html"


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `report`."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help="workdirs, finished or not")
    parser.add_argument("--out", metavar="FILE.html", help="the page to write")
    parser.add_argument(
        "--umap", action="store_true", help="lay the features out by UMAP too (extra umap)"
    )
    parser.require("out")


def run(flags: argparse.Namespace) -> None:
    """Writes the page."""
    if not flags.runs:
        raise errors.UserError(
            "report needs the workdirs of runs: report RUN [RUN …] --out=FILE.html"
        )
    if not flags.out.endswith((".html", ".htm")):
        raise errors.UserError(f"--out={flags.out}: the report is a page; end its name in .html.")
    contents.write(flags.runs, flags.out, umap=flags.umap)
    print(f"wrote {flags.out}")
