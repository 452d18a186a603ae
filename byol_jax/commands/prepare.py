"""The command `prepare`: convert a folder of images into a data set."""

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
        help="folder of images, of MNIST's IDX files, or of TFRecord files that TFDS wrote; images "
        "in subfolders named train and test (or val) form splits of these names",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="folder in which to write the data set; it must not exist"
    )
    parser.add_argument(
        "--labels",
        default="folders",
        metavar="folders|none|FILE.csv",
        help="source of the labels: the names of the subfolders, no labels, or a CSV file with the "
        "columns path and label",
    )
    parser.add_argument(
        "--test_fraction",
        type=float,
        metavar="FRACTION",
        help="fraction of the images, between 0 and 1, to use as the test split if the source has "
        "no test folder; by default all of them are training images",
    )
    parser.add_argument(
        "--max_side",
        type=int,
        metavar="PIXELS",
        help="shrink images whose shorter side is longer than this; by default sizes are kept",
    )
    parser.add_argument(
        "--duplicates",
        type=arguments.choice("drop", "keep"),
        default="drop",
        metavar="drop|keep",
        help="what to do with images that have the same pixels: keep only the first, or keep all",
    )
    parser.add_argument(
        "--max_train",
        type=int,
        metavar="N",
        help="read only the first N training images; by default all",
    )
    parser.add_argument(
        "--max_test",
        type=int,
        metavar="N",
        help="read only the first N test images; by default all",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="number of processes that read images; by default one per core",
    )
    parser.require("source", "out")


def run(flags: argparse.Namespace) -> None:
    """Prepares the data set and prints a report on the images."""
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
        sys.exit(arguments.INTERRUPTED)
    arguments.escape_unprintable()
    print("\n".join(report.lines()))
    print(f"wrote {flags.out}; this report is also in its {data.Report.FILE}")
