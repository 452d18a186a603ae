"""The config of a workdir: read back for later commands, and compared when training goes on."""

import json
from pathlib import Path

from ml_collections import ConfigDict

from byol_jax import errors, workdir
from byol_jax.config import fields


def load(folder: str | Path) -> ConfigDict:
    """The experiment of a workdir, as training wrote it.

    Raises:
        FileNotFoundError: where no run has been.
        UserError: where the file is damaged.
    """
    record = workdir.read_config(folder)
    try:
        return _fill(fields.default(), record)
    except (ValueError, TypeError, AttributeError) as error:
        file = Path(folder) / workdir.CONFIG
        raise errors.UserError(f"{file} is damaged ({error}); give --config too.") from error


def check_same(folder: str | Path, config: ConfigDict) -> None:
    """Checks that a workdir's checkpoints are of this experiment; see fields.FREE.

    A config without a checkpoint beside it binds nothing: its run failed before the first one.

    Raises:
        UserError: naming each field that differs, with both values.
    """
    if not workdir.has_checkpoint(folder) or not (Path(folder) / workdir.CONFIG).exists():
        return
    before = flat(workdir.read_config(folder))
    now = flat(json.loads(json.dumps(config.to_dict())))
    changed = [
        f"{name} was {before.get(name, 'absent')!r} and is {now.get(name, 'absent')!r}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name) and not _is_free(name)
    ]
    if changed:
        raise errors.UserError(
            f"{folder} holds another experiment's checkpoint: {'; '.join(changed)}. Give "
            "another --workdir, or change these back."
        )


def flat(tree, prefix: str = "") -> dict[str, object]:
    """{dotted name: value} of nested dicts."""
    if not isinstance(tree, dict) or not tree:
        return {prefix.rstrip("."): tree}
    leaves = {}
    for name, subtree in tree.items():
        leaves.update(flat(subtree, f"{prefix}{name}."))
    return leaves


def _is_free(name: str) -> bool:
    return any(name == free or name.startswith(f"{free}.") for free in fields.FREE)


def _fill(config: ConfigDict, saved: dict, *, merges: bool = False) -> ConfigDict:
    """Puts saved values into `config`, which has what JSON lacks: types of empty fields, tuples.

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
        return ConfigDict({name: _tuples(item) for name, item in value.items()})
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
