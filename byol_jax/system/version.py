"""Which code is running."""

import functools
import importlib.metadata
import subprocess
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@functools.cache
def commit() -> str:
    """The commit of the clone, with "+" where files of the package differ from it.

    Outside a clone, the version of the installed package.
    """
    try:
        if (_ROOT / ".git").exists() and (head := _git("rev-parse", "--short=12", "HEAD")):
            changed = _git("status", "--porcelain", "--untracked-files=no", "--", "byol_jax")
            return head + ("+" if changed else "")
    except OSError:  # git is not installed
        pass
    return importlib.metadata.version("byol_jax")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(_ROOT), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None
