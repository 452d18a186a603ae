"""The version of the running code."""

import functools
import importlib.metadata
import subprocess
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@functools.cache
def commit() -> str:
    """Returns the git commit of the running code, or the version of the installed package.

    In a git clone, this is the first 12 digits of the commit, followed by "+" if tracked files of
    the package have uncommitted changes. The package's version is used outside a clone or if git is
    not installed.
    """
    try:
        if (_ROOT / ".git").exists() and (head := _git("rev-parse", "--short=12", "HEAD")):
            changes = _git("status", "--porcelain", "--untracked-files=no", "--", "byol_jax")
            return head + ("+" if changes else "")
    except OSError:  # git is not installed
        pass
    return importlib.metadata.version("byol_jax")


def _git(*arguments: str) -> str | None:
    """Returns the output of a git command, or None if it fails."""
    command = ["git", "-C", str(_ROOT), *arguments]
    process = subprocess.run(command, check=False, capture_output=True, text=True)
    return process.stdout.strip() if process.returncode == 0 else None
