"""Fuzzes configs and command lines: a mutated one works, or is refused with a short clear error.

    python tests/fuzz.py --count=2000 --seed=0

Two of three cases are configs. Each is prepared and its step traced, but nothing is computed. The
verdict of a case is "success", "refused" (an error of this package, in one paragraph that names a
mutated field or its value), or "bad" (anything else). Bad cases are printed with their error.
`--only=N` runs a single case.
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

SECONDS = 60  # a case that takes longer counts as hanging
LONGEST = 1200  # characters of a paragraph


class Case(NamedTuple):
    """A mutated config or command line.

    Attributes:
        what: Description of the mutation.
        given: The config's fields as a dict, or the arguments as a list.
        words: A good error contains at least one of these words.
    """

    what: str
    given: object
    words: tuple[str, ...]


def case(seed: int, number: int) -> Case:
    """Returns the case with this number; the same for the same seed."""
    rng = random.Random(f"{seed} {number}")
    return Case(*(fuzz_configs if number % 3 else fuzz_commands).mutated(rng))


def _is_user_error(error) -> bool:
    """Returns True if the command line prints the error without a traceback."""
    return isinstance(error, (errors.UserError, OSError))


def _is_paragraph(text):
    return 0 < len(text) <= LONGEST and "\n" not in text.strip()


def _names_mutation(text, words):
    """Returns True if the text contains one of the words outside a list of all alternatives."""
    text = re.sub(
        r"(there are|it takes|it has|is one of|must be one of|choose one of) .*", "", text
    )
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) for word in words)


class _Hangs(BaseException):
    """A case takes too long. Not an Exception, so that the tested code does not catch it."""


def _raise_hangs(*_):
    raise _Hangs(f"more than {SECONDS} seconds")


def judge(mutation: Case) -> tuple[str, str]:
    """Returns the verdict, "success", "refused" or "bad", and the output or error."""
    signal.signal(signal.SIGALRM, _raise_hangs)
    signal.alarm(SECONDS)
    try:
        if not isinstance(mutation.given, dict):
            return fuzz_commands.judge(mutation.given, mutation.words)
        with (
            jax.numpy_dtype_promotion("standard"),
            jax.numpy_rank_promotion("allow"),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            fuzz_configs.trace(mutation.given)
    except (Exception, _Hangs) as error:  # noqa: BLE001 - any exception is a verdict
        text = str(error)
        is_good = (
            _is_user_error(error) and _is_paragraph(text) and _names_mutation(text, mutation.words)
        )
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        location = "" if is_good else f" at {frame.f_code.co_filename}:{line}"
        return "refused" if is_good else "bad", f"{type(error).__name__}: {text}{location}"
    finally:
        signal.alarm(0)
    return "success", ""


def main() -> None:
    """Runs the program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--verbose", action="store_true", help="print every case")
    flags = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 4)
    counts = {"configs": collections.Counter(), "command lines": collections.Counter()}
    for number in range(flags.count) if flags.only is None else [flags.only]:
        mutation = case(flags.seed, number)
        verdict, text = judge(mutation)
        counts["configs" if number % 3 else "command lines"][verdict] += 1
        if verdict == "bad" or flags.verbose or flags.only is not None:
            print(f"{verdict} {number}: {mutation.what}\n    {text[:600]}", flush=True)
        if number % 50 == 49:
            jax.clear_caches()
    for kind, verdicts in counts.items():
        numbers = ", ".join(f"{verdicts[name]} {name}" for name in ("success", "refused", "bad"))
        print(f"{kind}: {verdicts.total()}: {numbers} (seed {flags.seed})")
    sys.exit(any(verdicts["bad"] for verdicts in counts.values()))


if __name__ == "__main__":
    main()
