"""The commands: python -m byol_jax train|evaluate|preview|prepare|compare|bench|plan."""

import sys
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from byol_jax import runtime

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "A config file; --config.field=value overrides one of its fields."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where checkpoints, metrics and results go.")
_SOURCE = flags.DEFINE_string(
    "source", None, "prepare: a folder of pictures, of IDX files, or TFDS's of TFRecord files."
)
_OUT = flags.DEFINE_string(
    "out", None, "prepare: the data set to make, a new folder. preview: the picture to write."
)
_MAX_TRAIN = flags.DEFINE_integer("max_train", None, "prepare: read so many training pictures.")
_MAX_TEST = flags.DEFINE_integer("max_test", None, "prepare: read so many test pictures.")
_LABELS = flags.DEFINE_string(
    "labels", "folders", "prepare: folders, none, or a CSV file with columns path and label."
)
_TEST_FRACTION = flags.DEFINE_float(
    "test_fraction", None, "prepare: the part to test on, where there is no folder for it."
)
_DUPLICATES = flags.DEFINE_string(
    "duplicates", "drop", "prepare: drop, or keep, all but the first of equal pictures."
)
_MAX_SIDE = flags.DEFINE_integer(
    "max_side", None, "prepare: make pictures smaller whose shorter side has more pixels."
)
_WORKERS = flags.DEFINE_integer("workers", None, "prepare: processes; all cores unless given.")

_PICTURE = flags.DEFINE_string("picture", None, "compare: a file to draw --metric into.")
_METRIC = flags.DEFINE_string("metric", "spread", "compare: what --picture draws against the step.")
_PEER = flags.DEFINE_string("peer", None, "bench step: measure torch too, in the same run.")
_TOPOLOGY = flags.DEFINE_string("topology", None, "plan: chips and their sides, v5e:4x4.")
_NUM_EXAMPLES = flags.DEFINE_integer(
    "num_examples", None, "plan: of the training split, where the data set is not prepared."
)
_LARGEST = flags.DEFINE_bool(
    "largest", False, "plan: look for the largest batch that fits; a compile per trial."
)

_USAGE = """usage:
  python -m byol_jax train    --config=FILE --workdir=FOLDER [--config.field=value …]
  python -m byol_jax evaluate --config=FILE --workdir=FOLDER [--config.field=value …]
  python -m byol_jax preview  --config=FILE --out=PICTURE [--config.field=value …]
  python -m byol_jax prepare  --source=FOLDER --out=FOLDER [--labels=folders|none|FILE.csv]
                              [--test_fraction=0.1] [--max_side=N] [--duplicates=drop|keep]
                              [--max_train=N] [--max_test=N] [--workers=N]
  python -m byol_jax compare  RUN [RUN …] [--picture=FILE --metric=NAME]
  python -m byol_jax bench    augment|input --config=FILE [--config.field=value …]
  python -m byol_jax bench    step --config=FILE [--peer=torch] [--config.field=value …]
  python -m byol_jax bench    losses
  python -m byol_jax plan     --config=FILE --topology=v5e:4x4 [--num_examples=N] [--largest]
                              [--config.field=value …]"""


def _train() -> None:
    from byol_jax import train

    _need("train", config=_CONFIG.value, workdir=_WORKDIR.value)
    runtime.keep_compiled()
    train.train(_CONFIG.value, _WORKDIR.value)


def _evaluate() -> None:
    from byol_jax import train

    _need("evaluate", config=_CONFIG.value, workdir=_WORKDIR.value)
    runtime.keep_compiled()
    train.evaluate(_CONFIG.value, _WORKDIR.value)


def _preview() -> None:
    from byol_jax import preview

    _need("preview", config=_CONFIG.value, out=_OUT.value)
    preview.preview(_CONFIG.value, _OUT.value)


def _prepare() -> None:
    from byol_jax import data, report

    _need("prepare", source=_SOURCE.value, out=_OUT.value)
    options = {
        "labels": _LABELS.value,
        "test_fraction": _TEST_FRACTION.value,
        "duplicates": _DUPLICATES.value,
        "max_side": _MAX_SIDE.value,
        "max_train": _MAX_TRAIN.value,
        "max_test": _MAX_TEST.value,
        "workers": _WORKERS.value,
    }
    try:
        with report.Counter() as counter:
            done = data.prepare(_SOURCE.value, _OUT.value, progress=counter, **options)
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from here.")
    sys.stdout.reconfigure(errors="backslashreplace")  # the names of files know no encoding
    print("\n".join(done.lines()))
    print(f"in {_OUT.value}, with all of this in {data.Report.FILE}")


def _compare(*workdirs: str) -> None:
    from byol_jax import report

    if not workdirs:
        raise app.UsageError(f"compare needs the workdirs of finished runs.\n{_USAGE}")
    runs = [report.compare.read(workdir) for workdir in workdirs]
    print(report.compare.markdown(runs))
    if _PICTURE.value:
        report.compare.picture(runs, _METRIC.value, _PICTURE.value)


def _bench(*kinds: str) -> None:
    from byol_jax import bench

    if len(kinds) != 1 or kinds[0] not in bench.BENCHES:
        raise app.UsageError(f"bench takes one of {', '.join(bench.BENCHES)}.\n{_USAGE}")
    if _PEER.value and kinds != ("step",):
        raise app.UsageError(f"--peer is for bench step alone.\n{_USAGE}")
    if kinds[0] in bench.WITHOUT_CONFIG:
        bench.BENCHES[kinds[0]]()
        return
    _need("bench", config=_CONFIG.value)
    options = {"peer": _PEER.value} if _PEER.value else {}
    bench.BENCHES[kinds[0]](_CONFIG.value, **options)


def _plan() -> None:
    from byol_jax import lowering

    _need("plan", config=_CONFIG.value, topology=_TOPOLOGY.value)
    options = {"num_examples": _NUM_EXAMPLES.value, "largest": _LARGEST.value}
    lowering.report(_CONFIG.value, _TOPOLOGY.value, **options)


COMMANDS = {
    "train": _train,
    "evaluate": _evaluate,
    "preview": _preview,
    "prepare": _prepare,
    "compare": _compare,
    "bench": _bench,
    "plan": _plan,
}
_TAKE_WORDS = ("compare", "bench")


def _need(command: str, **given) -> None:
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if missing:
        raise app.UsageError(f"{command} needs {' and '.join(missing)}.\n{_USAGE}")


def _main(argv: list[str]) -> None:
    command = argv[1] if len(argv) > 1 else "none"
    if command not in COMMANDS or (len(argv) > 2 and command not in _TAKE_WORDS):
        extra = f" and {argv[2:]}" if len(argv) > 2 else ""
        raise app.UsageError(
            f"the command was {command!r}{extra}; it is one of {', '.join(COMMANDS)}.\n{_USAGE}"
        )
    COMMANDS[command](*argv[2:])


def find_config(argument: str) -> str:
    """A --config argument that names no file here, but one that came with the package, names that.

    So `--config=configs/quickstart.py` works outside a clone too. Others stay as they are.
    """
    flag, _, path = argument.partition("=")
    installed = Path(__file__).parent / path.split(":")[0]
    if flag != "--config" or Path(path.split(":")[0]).exists() or not installed.exists():
        return argument
    return f"{flag}={Path(__file__).parent / path}"


def run() -> None:
    """The console script."""
    runtime.prefer_fast_cpu()
    quiet = "--verbosity=-1"  # without it Orbax tells of every file
    app.run(_main, [sys.argv[0], quiet, *(find_config(argument) for argument in sys.argv[1:])])
