"""Loads the config in a workdir, and compares it with the config of a run that resumes there."""

import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from byol_jax import errors, workdir
from byol_jax.config import fields


def load(folder: str | Path) -> ConfigDict:
    """Loads the config that training wrote into a workdir.

    Args:
        folder: The workdir.

    Returns:
        The config, with tuples and with the types of empty fields.

    Raises:
        FileNotFoundError: If the workdir contains no config.
        UserError: If the file is damaged.
    """
    record = workdir.read_config(folder)
    try:
        return _fill(fields.default(), record)
    except (ValueError, TypeError, AttributeError) as error:
        file = Path(folder) / workdir.CONFIG
        raise errors.UserError(
            f"{file} is damaged ({error}). Give the config file of the run with --config."
        ) from error


def check_same(folder: str | Path, config: ConfigDict) -> None:
    """Checks that the checkpoints in a workdir belong to this experiment.

    Fields in fields.FREE may differ. A workdir without checkpoints passes, since a run that failed
    before its first checkpoint leaves only its config.

    Args:
        folder: The workdir.
        config: The experiment's config.

    Raises:
        UserError: If other fields differ; names each with both values.
    """
    if not workdir.has_checkpoint(folder) or not (Path(folder) / workdir.CONFIG).exists():
        return
    before = flat(workdir.read_config(folder))
    now = flat(json.loads(json.dumps(config.to_dict())))
    differences = [
        f"{name} was {before.get(name, 'absent')!r} and is {now.get(name, 'absent')!r}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name) and not _is_free(name)
    ]
    if differences:
        differences_text = "; ".join(differences)
        raise errors.UserError(
            f"{folder} contains another experiment's checkpoint: {differences_text}. Give another "
            "--workdir, or change these fields back."
        )


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Flattens nested dicts into one dict with dotted names.

    Args:
        tree: Nested dicts, or a leaf.
        prefix: Text before each name; "" at the root.

    Returns:
        The leaves by dotted name. An empty dict is a leaf.
    """
    if not isinstance(tree, dict) or not tree:
        return {prefix.rstrip("."): tree}
    leaves = {}
    for name, subtree in tree.items():
        leaves.update(flat(subtree, f"{prefix}{name}."))
    return leaves


def _is_free(name: str) -> bool:
    return any(name == free or name.startswith(f"{free}.") for free in fields.FREE)


def _fill(config: ConfigDict, saved: dict[str, Any], *, merges: bool = False) -> ConfigDict:
    """Copies saved values into a default config, and converts each to the type of the default.

    With `merges`, fields that are not in `saved` keep their defaults; otherwise they are removed.
    Only `evaluate` merges, so that runs of older versions can be evaluated with newer options.
    """
    with config.unlocked():
        for name in () if merges else set(config) - set(saved):
            del config[name]
        for name, value in saved.items():
            if isinstance(value, dict) and isinstance(config.get(name), ConfigDict):
                _fill(config[name], value, merges=merges or name == "evaluate")
            elif value is not None or name not in config:
                config[name] = _convert_lists(value)
    return config


def _convert_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return ConfigDict({name: _convert_lists(item) for name, item in value.items()})
    return tuple(map(_convert_lists, value)) if isinstance(value, list) else value
