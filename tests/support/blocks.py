"""The code blocks of README, CONTRIBUTING and docs/, and how the tests check each.

The first line of a block has a mark after the language:

    ```bash run                                  the block runs as it is printed
    ```bash run small: |old| -> |new|; append A  it runs after these changes; A goes to the end of
                                                 its last line
    ```bash parse only: reason                   the tests only parse it

The blocks of a page run in order: all Python blocks of a page are one program.
"""

import pathlib
import re
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(?P<language>\w+)(?P<mark>[^\n]*)\n(?P<code>.*?)^```$", re.M | re.S)
_MARK = re.compile(r" (?P<kind>run small|run|parse only)(?:: (?P<text>.+))?")
_REPLACEMENT = re.compile(r"\|(?P<old>[^|]+)\| -> \|(?P<new>[^|]*)\|")
LANGUAGES = ("python", "bash")
KINDS = ("run", "run small", "parse only")


class Block(NamedTuple):
    """A code block of a page.

    Attributes:
        page: path of the page, relative to the repository.
        language: "python" or "bash".
        kind: one of KINDS.
        printed: the code as the page shows it.
        code: the code to run: printed, with the replacements of the mark.
        reason: why the block is only parsed; "" otherwise.
    """

    page: str
    language: str
    kind: str
    printed: str
    code: str
    reason: str


def pages() -> list[pathlib.Path]:
    """README, CONTRIBUTING, and all pages under docs/ that a person writes."""
    written = {ROOT / "docs" / "reference" / name for name in ("commands.md", "config.md")}
    docs = sorted((ROOT / "docs").rglob("*.md"))
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(page for page in docs if page not in written),
    ]


def blocks(page: pathlib.Path) -> list[Block]:
    """The code blocks of a page; raises ValueError for a block without a valid mark."""
    name = str(page.relative_to(ROOT))
    text = page.read_text(encoding="utf-8")
    return [_block(name, match) for match in _fences(text)]


def _fences(text: str) -> list[re.Match]:
    return [match for match in _BLOCK.finditer(text) if match["language"] in LANGUAGES]


def _block(page: str, match: re.Match) -> Block:
    mark = _MARK.fullmatch(match["mark"])
    if mark is None:
        raise ValueError(f"{page}: this block needs a mark:\n{match['code']}")
    kind = mark["kind"]
    text = mark["text"] or ""
    if (kind == "run") != (text == ""):
        raise ValueError(
            f"{page}: <!-- {kind} --> needs a text, <!-- run --> has none:\n{match[0]}"
        )
    code = _smaller(page, match["code"], text) if kind == "run small" else match["code"]
    reason = text if kind == "parse only" else ""
    return Block(page, match["language"], kind, match["code"], code, reason)


def _smaller(page: str, code: str, changes: str) -> str:
    for change in changes.split("; "):
        if change.startswith("append "):
            code = code.rstrip("\n") + " " + change.removeprefix("append ") + "\n"
            continue
        replacement = _REPLACEMENT.fullmatch(change)
        if replacement is None or replacement["old"] not in code:
            raise ValueError(f"{page}: the change {change!r} does not fit the block:\n{code}")
        code = code.replace(replacement["old"], replacement["new"])
    return code
