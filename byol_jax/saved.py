"""The config that a run kept in its workdir, as a config file: --config=saved.py:WORKDIR.

The commands that work on a finished run take it by themselves.
"""

import json
from pathlib import Path

from ml_collections import ConfigDict

from byol_jax import config as fields


def get_config(workdir: str = "") -> ConfigDict:
    """The experiment of a workdir; without one, the defaults.

    Raises FileNotFoundError where no run has been, ValueError for a damaged file.
    """
    config = fields.default()
    if not workdir:
        return config
    file = Path(workdir).expanduser() / "config.json"
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        return _fill(config, saved)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{file.parent} has no config.json, so that no run has been there; give the --workdir "
            "of one."
        ) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is damaged ({error}); give --config too.") from error


def _fill(config: ConfigDict, saved: dict, *, merges: bool = False) -> ConfigDict:
    """What JSON has no word for comes from `config`: the types of empty fields, and tuples.

    merges: what is not saved stays as it is, so that `evaluate` has its newer fields.
    """
    with config.unlocked():
        for name in () if merges else set(config) - set(saved):
            del config[name]
        for name, value in saved.items():
            if isinstance(value, dict) and isinstance(config.get(name), ConfigDict):
                _fill(config[name], value, merges=merges or name == "evaluate")
            elif value is not None or name not in config:
                config[name] = _tuples(value)
    return config


def _tuples(value):
    if isinstance(value, dict):
        return ConfigDict({name: _tuples(sub) for name, sub in value.items()})
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
