"""What `doctor` finds: a measured value, a verdict, and what to do about it."""

import getpass
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

OK = "ok"
WARNING = "warning"  # a run works, but more slowly, or a part of the package does not
PROBLEM = "problem"  # a run would stop


class Finding(NamedTuple):
    """The result of one check.

    Attributes:
        name: What was checked, such as "shared memory".
        value: What was found, with units.
        verdict: OK, WARNING or PROBLEM.
        advice: What to do; empty if the verdict is OK.
    """

    name: str
    value: str
    verdict: str = OK
    advice: str = ""


def page(findings: Sequence[Finding]) -> str:
    """Formats findings as text, one line each, and one more for an advice.

    Args:
        findings: The findings.

    Returns:
        The text, without private names.
    """
    lines = []
    for finding in findings:
        lines.append(f"{finding.verdict:8} {finding.name:22} {finding.value}")
        if finding.advice:
            lines.append(f"{'':8} {'':22} -> {finding.advice}")
    verdicts = [finding.verdict for finding in findings]
    lines.append(f"problems: {verdicts.count(PROBLEM)}, warnings: {verdicts.count(WARNING)}")
    return without_private_names("\n".join(lines))


def as_json(findings: Sequence[Finding]) -> str:
    """Formats findings as JSON: a list of objects with the fields of Finding.

    Args:
        findings: The findings.

    Returns:
        The text, without private names.
    """
    text = json.dumps([finding._asdict() for finding in findings], indent=1, ensure_ascii=False)
    return without_private_names(text)


def without_private_names(text: str) -> str:
    """Replaces the home folder, the name of the user, and secrets in URLs.

    Args:
        text: Any text.

    Returns:
        The text, with "~" for the home folder, "USER" for the user's name, and "…" for the
        password and the query of a URL.
    """
    text = re.sub(r"(\w+://)[^\s/@]+@", r"\1…@", text)
    text = re.sub(r"(\w+://[^\s?\"']+)\?[^\s\"']+", r"\1?…", text)
    home = str(Path.home())
    if len(home) > 1:
        text = text.replace(home, "~")
    user = _user()
    return re.sub(rf"\b{re.escape(user)}\b", "USER", text) if user else text


def _user() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # no entry for this user
        return ""
    return "" if user == "root" else user
