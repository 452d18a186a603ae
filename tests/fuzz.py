"""Mistakes at random: mutated configs and command lines work, or are refused in one paragraph.

    python tests/fuzz.py --count=2000 --seed=0

Two in three are configs: each is prepared and its step traced, but nothing is computed. Verdicts:
success; told, an error of this package in one paragraph that names a mutated field or its value;
and bad, all else, of which the mutation and the error are printed. `--only=N` runs one case.
"""

import argparse
import collections
import contextlib
import io
import random
import re
import signal
import sys
import traceback
from typing import NamedTuple

import jax

from byol_jax import errors
from support import fuzz_commands, fuzz_configs

SECONDS = 60  # of one case, after which it hangs
LONGEST = 1200  # characters of a paragraph


class Case(NamedTuple):
    """A mutated config or command line; words: of which a good error has one."""

    what: str
    given: object
    words: tuple[str, ...]


def case(seed: int, number: int) -> Case:
    """The case of a number, the same for the same seed."""
    rng = random.Random(f"{seed} {number}")
    return Case(*(fuzz_configs if number % 3 else fuzz_commands).mutated(rng))


def _is_ours(error) -> bool:
    """Whether the command line prints the error without a traceback."""
    return isinstance(error, (errors.UserError, OSError))


def _is_paragraph(text):
    return 0 < len(text) <= LONGEST and "\n" not in text.strip()


def _names(text, words):
    """Whether a text has one of the words, but for where it lists all that there are."""
    text = re.sub(
        r"(there are|it takes|it has|is one of|must be one of|choose one of) .*", "", text
    )
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in words)


class _Hangs(BaseException):
    """Not an Exception: nothing may catch it."""


def _hangs(*_):
    raise _Hangs(f"more than {SECONDS} seconds")


def judge(one: Case) -> tuple[str, str]:
    """The verdict, "success", "told" or "bad", and what was said."""
    signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(SECONDS)
    try:
        if not isinstance(one.given, dict):
            return fuzz_commands.judge(one.given, one.words)
        loose = (jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"))
        with contextlib.ExitStack() as stack:
            for each in (*loose, contextlib.redirect_stdout(io.StringIO())):
                stack.enter_context(each)
            fuzz_configs.trace(one.given)
    except (Exception, _Hangs) as error:  # noqa: BLE001 - what it is about
        text = str(error)
        good = _is_ours(error) and _is_paragraph(text) and _names(text, one.words)
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        place = "" if good else f" at {frame.f_code.co_filename}:{line}"
        return "told" if good else "bad", f"{type(error).__name__}: {text}{place}"
    finally:
        signal.alarm(0)
    return "success", ""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--verbose", action="store_true", help="print every case")
    given = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 4)
    found = {"configs": collections.Counter(), "command lines": collections.Counter()}
    for number in range(given.count) if given.only is None else [given.only]:
        one = case(given.seed, number)
        verdict, said = judge(one)
        found["configs" if number % 3 else "command lines"][verdict] += 1
        if verdict == "bad" or given.verbose or given.only is not None:
            print(f"{verdict} {number}: {one.what}\n    {said[:600]}", flush=True)
        if number % 50 == 49:
            jax.clear_caches()
    for kind, verdicts in found.items():
        told = ", ".join(f"{verdicts[name]} {name}" for name in ("success", "told", "bad"))
        print(f"{kind}: {verdicts.total()}: {told} (seed {given.seed})")
    sys.exit(any(verdicts["bad"] for verdicts in found.values()))


if __name__ == "__main__":
    main()
