"""The files in a run's working directory (workdir): their names, readers and writers.

config.json            the config of the experiment
checkpoints/           the newest train states, written by Orbax
damaged/               checkpoints that could not be read and were moved here
metrics.jsonl          one JSON line per logged step
not_finite/            the state and batch of a step with a NaN or infinite loss or gradient
encoder.safetensors    the encoder of the last state
evaluation.json        the encoder's accuracies
report.html            the report
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from byol_jax import errors
from byol_jax.system import paths

CONFIG = "config.json"
CHECKPOINTS = "checkpoints"
DAMAGED = "damaged"
METRICS = "metrics.jsonl"
NOT_FINITE = "not_finite"
ENCODER = "encoder.safetensors"
EVALUATION = "evaluation.json"
REPORT = "report.html"


def read_config(folder: str | Path) -> dict[str, Any]:
    """Reads the config that training saved in a workdir.

    Args:
        folder: The workdir of a run.

    Returns:
        The config as nested dicts.

    Raises:
        FileNotFoundError: The folder has no config.json.
        UserError: config.json is damaged.
    """
    file = paths.local(folder) / CONFIG
    if not file.is_file():
        raise FileNotFoundError(f"{folder} has no {CONFIG}; give the --workdir of a run.")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise errors.UserError(
            f"{file} is damaged ({error}); pass --config in addition to --workdir."
        ) from error
    if not isinstance(record, dict):
        raise errors.UserError(
            f"{file} is damaged (not a JSON object); pass --config in addition to --workdir."
        )
    return record


def write_config(folder: str | Path, config: Mapping[str, Any]) -> None:
    """Writes the config of a run to its workdir, creating the folder if needed.

    An interrupted write leaves the previous file unchanged.

    Args:
        folder: The workdir.
        config: The config as nested dicts.
    """
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    paths.write_whole(paths.local(folder) / CONFIG, text)


def has_checkpoint(folder: str | Path) -> bool:
    """Returns whether a workdir contains at least one checkpoint.

    Args:
        folder: The workdir; it may be missing.

    Returns:
        True if a checkpoint exists, readable or not.
    """
    checkpoints = paths.local(folder) / CHECKPOINTS
    # The folder of a checkpoint is named by its step.
    return checkpoints.is_dir() and any(entry.name.isdigit() for entry in checkpoints.iterdir())


def read_metrics(folder: str | Path) -> list[dict[str, float]]:
    """Reads the metrics that a run logged.

    Incomplete lines, which a killed run leaves behind, are skipped.

    Args:
        folder: The workdir of a run.

    Returns:
        One dict {metric: value} per logged step, including "step"; empty without metrics.jsonl.
    """
    file = paths.local(folder) / METRICS
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    records = [_parse(line) for line in lines]
    return [record for record in records if isinstance(record, dict) and "step" in record]


def read_evaluation(folder: str | Path) -> dict[str, Any]:
    """Reads the results of a run's evaluation.

    Args:
        folder: The workdir of a run.

    Returns:
        A dict with the keys "step", "accuracy", "measures" and "classes"; empty if the run was not
        evaluated.
    """
    file = paths.local(folder) / EVALUATION
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def write_evaluation(folder: str | Path, record: Mapping[str, Any]) -> None:
    """Writes the results of a run's evaluation to its workdir.

    An interrupted write leaves the previous file unchanged.

    Args:
        folder: The workdir.
        record: The results, as read_evaluation returns them.
    """
    paths.write_whole(paths.local(folder) / EVALUATION, json.dumps(record, indent=1) + "\n")


def _parse(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
