"""A config from a Python file: a path, or a path and an argument of its get_config, FILE:ARGUMENT."""

import difflib
import importlib.util
import inspect
import traceback
from pathlib import Path

from ml_collections import ConfigDict

from byol_jax import errors
from byol_jax.system import paths

_PACKAGE = Path(__file__).parents[1]
_CLONE = _PACKAGE.parent
_EXAMPLE = "configs/quickstart.py"


def load(name: str) -> ConfigDict:
    """The config that get_config() of a file returns.

    Args:
        name: the file's path, perhaps with ":" and an argument of get_config. A path such as
            configs/quickstart.py that does not exist here names the config that came with the
            package.

    Raises:
        UserError: where there is no such file, it fails (with its line), or it returns no config.
    """
    path, *argument = name.split(":", 1)
    file = _find(path)
    spec = importlib.util.spec_from_file_location("config", file)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if argument and not inspect.signature(module.get_config).parameters:
            raise errors.UserError(
                f"--config={name}: its get_config() takes no argument; leave out :{argument[0]}."
            )
        config = module.get_config(*argument)
    except errors.UserError:
        raise
    except Exception as error:
        raise errors.UserError(f"--config={name}: {_place(error, file)}") from error
    if not isinstance(config, ConfigDict):
        raise errors.UserError(
            f"--config={name}: its get_config() returns {type(config).__name__}, and must return "
            "the ConfigDict that config.default() of byol_jax.config begins."
        )
    return config


def _find(path: str) -> Path:
    file = paths.local(path)
    if file.is_file() and file.suffix == ".py":
        return file
    if file.exists():
        raise errors.UserError(
            f"--config={path}: a config is a Python file; give one such as {_EXAMPLE}."
        )
    for folder in (_PACKAGE, _CLONE):  # a wheel has configs/ inside the package, a clone beside it
        if path.startswith("configs/") and (folder / path).is_file():
            return folder / path
    hint = _near(path) or f"; one that came with the package is {_EXAMPLE}"
    raise errors.UserError(f"--config={path}: there is no such file{hint}.")


def _known() -> list[str]:
    for folder in (_PACKAGE, _CLONE):
        if (folder / "configs").is_dir():
            return sorted(str(file.relative_to(folder)) for file in folder.glob("configs/**/*.py"))
    return []


def _near(path: str) -> str:
    matches = difflib.get_close_matches(path, _known(), n=1, cutoff=0.5)
    return f" (did you mean {matches[0]}?)" if matches else ""


def _place(error: Exception, file: Path) -> str:
    """Where a config file failed, and of what."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == file]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    line = frames[-1].lineno if frames else line
    at = f"{file}, line {line}: " if line else ""
    return f"{at}{type(error).__name__}: {errors.one_line(error)}"
