"""Mutated command lines for fuzz.py, run in this process with stubs for the heavy work."""

import contextlib
import io
import random
import sys
import types
from unittest import mock

from byol_jax import data, encoders, main
from byol_jax.commands import bench, compare, embed, evaluate, export, import_weights, plan
from byol_jax.config import check
from byol_jax.report import contents, preview
from byol_jax.system import xla
from byol_jax.training import train

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
    "--workers=3",
    "--step=three",
    "--nosuch=1",
    "--nosuch",
    "-x",
    "--",
    "=",
    "word",
)


def mutated(rng: random.Random) -> tuple[str, list[str], tuple[str, ...]]:
    """Returns a mutated command line: its description, its arguments, and words of a good error."""
    argv = list(rng.choice(VALID))
    words = ["usage"]
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind = rng.choice(("delete", "typo", "value", "value", "repeat", "extra", "extra", "swap"))
        index = rng.randrange(len(argv)) if argv else 0
        if kind == "extra" or not argv:
            argv.insert(rng.randrange(len(argv) + 1), rng.choice(EXTRA))
        elif kind == "delete":
            words.append(argv.pop(index).split("=")[0].lstrip("-"))
        elif kind == "typo":
            word = argv[index]
            position = rng.randrange(len(word.split("=")[0]) or 1)
            argv[index] = word[:position] + rng.choice("xq.-") + word[position + 1 :]
        elif kind == "value":
            argv[index] = f"{argv[index].split('=')[0]}={rng.choice(VALUES)}"
        elif kind == "repeat":
            argv.append(argv[index])
        else:
            rng.shuffle(argv)
    words += [part for word in argv for part in word.lstrip("-").split("=") if part]
    return " ".join(argv)[:400], argv, tuple(words)


def _returning(result):
    """Returns a stub for the work of a command."""
    return lambda *_, **__: result


def _checking(result):
    """Returns a stub for the work of a command that checks its config first."""

    def stub(config, *_, **__):
        check.check(config, complete=False)
        return result

    return stub


def _checking_evaluation(config, *_, **__):
    check.check_fields(config, complete=False)
    check.check_evaluation(config)
    return {}


def _work():
    """Yields patches that replace the work of the commands by stubs."""
    rows = types.SimpleNamespace(features=types.SimpleNamespace(shape=(1, 2)), unreadable={})
    encoder = types.SimpleNamespace(info=types.SimpleNamespace(step=0))
    report = types.SimpleNamespace(lines=lambda: ["done"])
    stubs = {
        (train, "train"): _checking({}),
        (evaluate, "evaluate_encoder"): _checking_evaluation,
        (evaluate, "evaluate_run"): _checking({}),
        (export, "export_run"): _checking(encoder),
        (export, "results_of"): _returning({}),
        (export, "export"): _returning([]),
        (import_weights, "convert"): _returning([]),
        (embed, "embed"): _returning(rows),
        (encoders, "load"): _returning(encoder),
        (encoders.foreign, "unpickle"): _returning(None),
        (contents, "write"): _returning(None),
        (preview, "preview"): _returning(None),
        (data, "prepare"): _returning(report),
        (compare, "read"): _returning(None),
        (compare, "markdown"): _returning(""),
        (compare, "picture"): _returning(None),
        (plan, "report"): _returning(None),
        (xla, "keep_compiled"): _returning(None),
        (xla, "prefer_fast_cpu"): _returning(None),
    }
    for (module, name), stub in stubs.items():
        yield mock.patch.object(module, name, stub)
    yield mock.patch.dict(bench.BENCHES, dict.fromkeys(bench.BENCHES, _returning(0)))


def judge(argv: list[str], words: tuple[str, ...]) -> tuple[str, str]:
    """Returns the verdict on a command line and its output; see fuzz.judge."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    code = 0
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
        except SystemExit as error:
            code = error.code
        except Exception as error:  # noqa: BLE001 - any exception is a verdict
            return "bad", f"a traceback: {type(error).__name__}: {error}"
    out.flush()
    text = out.buffer.getvalue().decode() + (code if isinstance(code, str) else "")
    if not code:
        return "success", ""
    return _verdict(text, words)


def _verdict(text, words):
    message = text.split("usage:")[0] if "usage:" in text else text
    lines = message.strip().splitlines()
    if "Traceback" in text or len(message) > 6000 or not text.strip():
        return "bad", text
    if len(lines) > 30 or not any(word in text for word in words):
        return "bad", text
    return "refused", text
