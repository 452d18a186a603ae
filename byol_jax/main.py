"""The commands: python -m byol_jax train|evaluate|embed|export|import|report|…; see _USAGE."""

import sys

from absl import app, flags
from ml_collections import config_flags

from byol_jax import arguments, checks, runtime, told

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "A config file; --config.field=value overrides one of its fields."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where checkpoints, metrics and results go.")
_SOURCE = flags.DEFINE_string(
    "source", None, "prepare: a folder of pictures, of IDX files, or TFDS's of TFRecord files."
)
_OUT = flags.DEFINE_string("out", None, "What to write: a file, or (prepare) a new folder.")
_ENCODER = flags.DEFINE_string(
    "encoder", None, "evaluate, embed, export: a file of an encoder, in place of --workdir."
)
_PROTOCOL = flags.DEFINE_list(
    "protocol", None, "evaluate: knn, linear, logistic, probe, finetune, semi; several by commas."
)
_IMAGES = flags.DEFINE_string("images", None, "embed: a folder of pictures.")
_LAYOUT = flags.DEFINE_string("layout", "flax", "export: flax, torchvision or timm.")
_STEP = flags.DEFINE_integer("step", None, "export: of which checkpoint; the newest unless given.")
_WEIGHTS = flags.DEFINE_string("weights", None, "import: a file that another project wrote.")
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "train: HOST:PORT of process 0, where several processes are one run."
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "train: how many these are.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "train: which of them this is, from 0.")
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "train: several processes, as SLURM, TPU, GKE or Open MPI tell."
)
_TIMEOUT = flags.DEFINE_integer("timeout", 300, "train: seconds to wait for other processes.")
_UMAP = flags.DEFINE_bool("umap", False, "report: lay features out by UMAP too (extra umap).")
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
                              [--coordinator=HOST:PORT --num_processes=N --process_id=N]
                              [--distributed] [--timeout=SECONDS]
  python -m byol_jax evaluate --workdir=FOLDER|--encoder=FILE [--protocol=knn,linear,…]
                              [--config.field=value …]
  python -m byol_jax embed    --workdir=FOLDER|--encoder=FILE --images=FOLDER
                              --out=FILE.npz|FILE.parquet
  python -m byol_jax export   --workdir=FOLDER|--encoder=FILE --out=FILE.safetensors|FOLDER
                              [--layout=flax|torchvision|timm] [--step=N]
  python -m byol_jax import   --weights=FILE --out=FILE.safetensors|FOLDER
  python -m byol_jax unpickle --source=FILE --out=FILE.npz
  python -m byol_jax report   RUN [RUN …] --out=FILE.html [--umap]
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
    place = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    several = _DISTRIBUTED.value or place != (None, None, None)
    how = {"place": place, "several": several, "timeout": _TIMEOUT.value}
    sys.exit(train.command(_CONFIG.value, _WORKDIR.value, **how))


def _evaluate() -> None:
    from byol_jax import finish

    _need("evaluate", config=_CONFIG.value)
    runtime.keep_compiled()
    config = _CONFIG.value
    if _PROTOCOL.value:
        config.evaluate.protocols = tuple(_PROTOCOL.value)
    if _ENCODER.value:
        finish.evaluate_encoder(config, _ENCODER.value, _WORKDIR.value)
    else:
        _need("evaluate", workdir=_WORKDIR.value)
        finish.evaluate_run(config, _WORKDIR.value)


def _embed() -> None:
    from byol_jax import embed, encoder, report

    _need("embed", images=_IMAGES.value, out=_OUT.value)
    try:
        with report.Counter() as counter:
            loaded = encoder.load(_one("embed", encoder=_ENCODER, workdir=_WORKDIR))
            rows = embed.embed(loaded, _IMAGES.value, _OUT.value, progress=counter)
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from here.")
    sys.stdout.reconfigure(errors="backslashreplace")  # the names of files know no encoding
    for path, why in rows.unreadable.items():
        print(f"unreadable: {path}: {why}")
    shape = " x ".join(f"{side:,}" for side in rows.features.shape)
    print(f"{_OUT.value}: {shape} features; unreadable {len(rows.unreadable):,}")


def _export() -> None:
    from byol_jax import encoder, export, finish

    _need("export", out=_OUT.value)
    place = _one("export", encoder=_ENCODER, workdir=_WORKDIR)
    if _ENCODER.value:
        made, results = encoder.load(place), {}
    else:
        made = finish.export_run(_CONFIG.value, place, _STEP.value)
        results = export.results_of(place, made.about.step)
    written = export.export(made, _OUT.value, layout=_LAYOUT.value, results=results)
    print("\n".join(map(str, written)))


def _import() -> None:
    from byol_jax import export

    _need("import", weights=_WEIGHTS.value, out=_OUT.value)
    print("\n".join(map(str, export.from_elsewhere(_WEIGHTS.value, _OUT.value))))


def _unpickle() -> None:
    from byol_jax import encoder

    _need("unpickle", source=_SOURCE.value, out=_OUT.value)
    encoder.foreign.unpickle(_SOURCE.value, _OUT.value)
    print(f"{_OUT.value} has its arrays; `import` can read it.")


def _report(*workdirs: str) -> None:
    from byol_jax import reporting

    if not workdirs:
        raise app.UsageError(f"report needs the workdirs of runs.\n{_USAGE}")
    _need("report", out=_OUT.value)
    reporting.write(workdirs, _OUT.value, umap=_UMAP.value)
    print(_OUT.value)


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
    "embed": _embed,
    "export": _export,
    "import": _import,
    "unpickle": _unpickle,
    "report": _report,
    "preview": _preview,
    "prepare": _prepare,
    "compare": _compare,
    "bench": _bench,
    "plan": _plan,
}
_TAKE_WORDS = ("compare", "bench", "report")


def _need(command: str, **given) -> None:
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if missing:
        raise app.UsageError(f"{command} needs {' and '.join(missing)}.\n{_USAGE}")


def _one(command: str, **flags_by_name) -> str:
    """The value of the one flag that is given."""
    given = [flag.value for flag in flags_by_name.values() if flag.value is not None]
    if len(given) != 1:
        names = " or ".join(f"--{name}" for name in flags_by_name)
        raise app.UsageError(f"{command} needs {names}, one of them.\n{_USAGE}")
    return given[0]


def _main(argv: list[str]) -> None:
    command = argv[1] if len(argv) > 1 else "none"
    if command not in COMMANDS or (len(argv) > 2 and command not in _TAKE_WORDS):
        extra = f" and {argv[2:]}" if len(argv) > 2 else ""
        raise app.UsageError(
            f"the command was {command!r}{extra}; it is one of {', '.join(COMMANDS)}.\n{_USAGE}"
        )
    if _CONFIG.value is not None:
        checks.check(_CONFIG.value, complete=command not in arguments.OF_RUNS)
    COMMANDS[command](*argv[2:])


def _told(argv: list[str]) -> None:
    """What this package raises says all there is to say; of anything else the traceback is told."""
    try:
        _main(argv)
    except told.KINDS as error:
        if not told.is_ours(error):
            raise
        sys.exit(f"byol_jax: {error}")


def run() -> None:
    """The console script."""
    runtime.prefer_fast_cpu()
    quiet = "--verbosity=-1"  # without it Orbax tells of every file
    given = [sys.argv[0], quiet, *arguments.complete(sys.argv[1:])]
    app.run(_told, given, flags_parser=arguments.parse)
