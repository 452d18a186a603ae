"""python -m byol_jax prepare: make a data set of a folder of pictures."""

import argparse
import sys

from byol_jax import data, monitor
from byol_jax.commands import arguments

EXAMPLE = "prepare --source=photos --out=data/photos --max_side=256"


def add_arguments(parser: arguments.Parser) -> None:
    """Adds the flags of `prepare`."""
    parser.add_argument(
        "--source",
        metavar="FOLDER",
        help="a folder of pictures, of MNIST's IDX files, or of TFDS's TFRecord files",
    )
    parser.add_argument("--out", metavar="FOLDER", help="the data set to write, a new folder")
    parser.add_argument(
        "--labels",
        default="folders",
        metavar="folders|none|FILE.csv",
        help="labels: the names of the subfolders, none, or columns path and label of a CSV file",
    )
    parser.add_argument(
        "--test_fraction",
        type=float,
        metavar="PART",
        help="the part to test on, where there is no folder for it",
    )
    parser.add_argument(
        "--max_side",
        type=int,
        metavar="PIXELS",
        help="make pictures smaller whose shorter side is longer",
    )
    parser.add_argument(
        "--duplicates",
        type=arguments.choice("drop", "keep"),
        default="drop",
        help="pictures with equal pixels: drop all but the first, or keep them",
    )
    parser.add_argument("--max_train", type=int, metavar="N", help="read N training pictures")
    parser.add_argument("--max_test", type=int, metavar="N", help="read N test pictures")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes; one per core unless set"
    )
    parser.require("source", "out")


def run(flags: argparse.Namespace) -> None:
    """Prepares, and prints what became of the pictures."""
    try:
        with monitor.Counter() as counter:
            report = data.prepare(
                flags.source,
                flags.out,
                labels=flags.labels,
                test_fraction=flags.test_fraction,
                duplicates=flags.duplicates,
                max_side=flags.max_side,
                max_train=flags.max_train,
                max_test=flags.max_test,
                workers=flags.workers,
                progress=counter,
            )
    except KeyboardInterrupt:
        sys.exit("interrupted; run the same command to go on from here.")
    sys.stdout.reconfigure(errors="backslashreplace")  # file names have any encoding
    print("\n".join(report.lines()))
    print(f"wrote {flags.out}, with this report in {data.Report.FILE}")
