"""Command lines with mistakes, run in this process with the heavy work stubbed; see fuzz.py."""

import contextlib
import io
import random
import sys
import types
from unittest import mock

from absl import flags
from absl.testing import flagsaver

from byol_jax import (
    bench,
    data,
    embed,
    encoder,
    export,
    finish,
    lowering,
    main,
    preview,
    report,
    reporting,
    train,
)

_QUICK = "--config=configs/quickstart.py"
VALID = (
    ["train", _QUICK, "--workdir=w", "--config.batch_size=64", "--config.data.workers=2"],
    ["train", _QUICK, "--workdir=w", "--config.epochs=2.5", "--timeout=20", "--distributed"],
    ["train", _QUICK, "--workdir=w", "--coordinator=h:1", "--num_processes=2", "--process_id=0"],
    ["evaluate", _QUICK, "--workdir=w", "--protocol=knn,linear", "--config.evaluate.on=features"],
    ["evaluate", "--encoder=e.safetensors", "--config.data.name=x", "--protocol=knn"],
    ["embed", "--workdir=w", "--images=i", "--out=o.npz"],
    ["export", "--encoder=e.safetensors", "--out=o", "--layout=timm", "--step=3"],
    ["import", "--weights=x.npz", "--out=o.safetensors"],
    ["unpickle", "--source=x.pth", "--out=o.npz"],
    ["report", "w1", "w2", "--out=o.html", "--umap"],
    ["preview", _QUICK, "--out=o.png", "--config.views.first.size=20"],
    ["prepare", "--source=s", "--out=o", "--test_fraction=0.1", "--max_side=32", "--labels=none"],
    ["compare", "w1", "w2", "--picture=p.png", "--metric=loss"],
    ["bench", "step", _QUICK, "--peer=torch", "--config.epochs=2"],
    ["bench", "losses"],
    ["plan", _QUICK, "--topology=v5e:4x4", "--num_examples=100", "--largest"],
)
VALUES = ("", "what", "-1", "2.5", "1e400", "nan", "[1", "(1, 2)", "None", "{}", "é", "x" * 5000)
EXTRA = (
    "--config.encoder.x=3",
    "--config.x=1",
    "--config.views.third.size=8",
    "--config.batch_size.x=1",
    "--config.epochs=many",
    "--config.method=3",
    "--config.method={}",
    "--config.data=None",
    "--config.evaluate.protocols=knn",
    "--config.evaluate.protocols=('knn',)",
    "--config.optimizer.mask=",
    "--config.=1",
    "--config.seed",
    "--noconfig.report",
    "--config.report=perhaps",
    "--config=missing.py",
    "--config=configs",
    "--config=README.md",
    "--config=configs/quickstart.py:option",
    "--config=",
    "--config",
    "--flagfile=missing",
    "--step=three",
    "--nosuch=1",
    "--nosuch",
    "-x",
    "--",
    "=",
    "word",
)


def mutated(rng: random.Random) -> tuple[str, list[str], tuple[str, ...]]:
    """(what, the arguments, words of which a good error has one) of a command line."""
    argv = list(rng.choice(VALID))
    words = ["usage"]
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind = rng.choice(("delete", "typo", "value", "value", "repeat", "extra", "extra", "swap"))
        at = rng.randrange(len(argv)) if argv else 0
        if kind == "extra" or not argv:
            argv.insert(rng.randrange(len(argv) + 1), rng.choice(EXTRA))
        elif kind == "delete":
            words.append(argv.pop(at).split("=")[0].lstrip("-"))
        elif kind == "typo":
            place = rng.randrange(len(argv[at].split("=")[0]) or 1)
            argv[at] = argv[at][:place] + rng.choice("xq.-") + argv[at][place + 1 :]
        elif kind == "value":
            argv[at] = f"{argv[at].split('=')[0]}={rng.choice(VALUES)}"
        elif kind == "repeat":
            argv.append(argv[at])
        else:
            rng.shuffle(argv)
    words += [part for word in argv for part in word.lstrip("-").split("=") if part]
    return " ".join(argv)[:400], argv, tuple(words)


def _stub(*_, **__):
    """Stands for the work of a command."""
    return 0


def _work():
    """What the commands would do, stubbed."""
    found = types.SimpleNamespace(features=types.SimpleNamespace(shape=(1, 2)), unreadable={})
    made = types.SimpleNamespace(about=types.SimpleNamespace(step=0))
    done = types.SimpleNamespace(lines=lambda: ["done"])
    results = {
        (train, "command"): 0,
        (finish, "evaluate_encoder"): {},
        (finish, "evaluate_run"): {},
        (finish, "export_run"): made,
        (export, "results_of"): {},
        (export, "export"): [],
        (export, "from_elsewhere"): [],
        (embed, "embed"): found,
        (encoder, "load"): made,
        (encoder.foreign, "unpickle"): None,
        (reporting, "write"): None,
        (preview, "preview"): None,
        (data, "prepare"): done,
        (report.compare, "read"): None,
        (report.compare, "markdown"): "",
        (report.compare, "picture"): None,
        (lowering, "report"): None,
        (main.runtime, "keep_compiled"): None,
        (main.runtime, "prefer_fast_cpu"): None,
    }
    for (module, name), result in results.items():
        yield mock.patch.object(module, name, lambda *_, result=result, **__: result)
    yield mock.patch.dict(bench.BENCHES, dict.fromkeys(bench.BENCHES, _stub))


def judge(argv: list[str], words: tuple[str, ...]) -> tuple[str, str]:
    """The verdict on a command line, as fuzz.judge gives it."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    saved, code = flagsaver.save_flag_values(), 0
    with contextlib.ExitStack() as stack:
        for patch in (
            *_work(),
            mock.patch.object(sys, "argv", ["byol_jax", *argv]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
        ):
            stack.enter_context(patch)
        try:
            main.run()
        except SystemExit as leaving:
            code = leaving.code
        except Exception as error:  # noqa: BLE001 - what it is about
            return "bad", f"a traceback: {type(error).__name__}: {error}"
        finally:
            flagsaver.restore_flag_values(saved)
            flags.FLAGS.unparse_flags()
    out.flush()
    said = out.buffer.getvalue().decode() + (code if isinstance(code, str) else "")
    if not code:
        return "success", ""
    return _verdict(said, words)


def _verdict(said, words):
    told = said.split("usage:")[0] if "usage:" in said else said
    short = told.strip().splitlines()
    if "Traceback" in said or len(told) > 6000 or not said.strip():
        return "bad", said
    if len(short) > 30 or not any(word in said for word in words):
        return "bad", said
    return "told", said
