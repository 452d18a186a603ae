"""Loads a config from FILE, or from FILE:ARGUMENT, which passes ARGUMENT to get_config()."""

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
    """Loads the config that get_config() of a Python file returns.

    Args:
        name: Path of the file, optionally with ":" and an argument of get_config. If a path such
            as configs/quickstart.py does not exist here, it refers to the config in the package.

    Returns:
        The config.

    Raises:
        UserError: If the file does not exist, fails (the message has the line) or does not return a
            config.
    """
    path, *argument = name.split(":", 1)
    file = _find(path)
    spec = importlib.util.spec_from_file_location("config", file)
    if spec is None or spec.loader is None:
        raise errors.UserError(f"--config={name}: Python cannot import {file}; check its name.")
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
        error_text = _describe(error, file)
        raise errors.UserError(f"--config={name}: {error_text}") from error
    if not isinstance(config, ConfigDict):
        type_name = type(config).__name__
        raise errors.UserError(
            f"--config={name}: its get_config() must return a ConfigDict, such as "
            f"byol_jax.config.default(), not {type_name}."
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
    for folder in (
        _PACKAGE,
        _CLONE,
    ):  # configs/ is in the package of a wheel, next to it in a clone
        if path.startswith("configs/") and (folder / path).is_file():
            return folder / path
    hint = _near(path) or f"; try {_EXAMPLE}, which is part of the package"
    raise errors.UserError(f"--config={path}: this file does not exist{hint}.")


def _list_configs() -> list[str]:
    for folder in (_PACKAGE, _CLONE):
        if (folder / "configs").is_dir():
            return sorted(str(file.relative_to(folder)) for file in folder.glob("configs/**/*.py"))
    return []


def _near(path: str) -> str:
    matches = difflib.get_close_matches(path, _list_configs(), n=1, cutoff=0.5)
    return f" (did you mean {matches[0]}?)" if matches else ""


def _describe(error: Exception, file: Path) -> str:
    """Describes an exception that a config file raised, with the line where it occurred."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == file]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    line = frames[-1].lineno if frames else line
    location = f"{file}, line {line}: " if line else ""
    return f"{location}{type(error).__name__}: {errors.one_line(error)}"
