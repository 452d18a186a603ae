"""The workdir of a run: the names of its files, and their readers and writers.

config.json            the experiment
checkpoints/           the newest states, by Orbax; a damaged one moves to damaged/
metrics.jsonl          a line per logged step
not_finite/            the state and batch of a step whose numbers were not finite
encoder.safetensors    the encoder of the last state
evaluation.json        its accuracies
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
    """The config that training wrote.

    Raises:
        FileNotFoundError: where no run has been.
        UserError: where the file is damaged.
    """
    file = paths.local(folder) / CONFIG
    if not file.is_file():
        raise FileNotFoundError(f"{folder} has no {CONFIG}; give the --workdir of a run.")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise errors.UserError(f"{file} is damaged ({error}); give --config too.") from error
    if not isinstance(record, dict):
        raise errors.UserError(f"{file} is damaged (no JSON object); give --config too.")
    return record


def write_config(folder: str | Path, config: Mapping[str, Any]) -> None:
    """Writes the config of a run, whole or not at all; makes the folder where there is none."""
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    paths.write_whole(paths.local(folder) / CONFIG, text)


def has_checkpoint(folder: str | Path) -> bool:
    """Whether a checkpoint is there; its folder is named by its step."""
    checkpoints = paths.local(folder) / CHECKPOINTS
    return checkpoints.is_dir() and any(entry.name.isdigit() for entry in checkpoints.iterdir())


def read_metrics(folder: str | Path) -> list[dict[str, float]]:
    """The lines of metrics, without those that a killed run left half; none where there is no file."""
    file = paths.local(folder) / METRICS
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    records = [_parse(line) for line in lines]
    return [record for record in records if isinstance(record, dict) and "step" in record]


def read_evaluation(folder: str | Path) -> dict[str, Any]:
    """What was measured: step, accuracy, measures and classes; empty where nothing was."""
    file = paths.local(folder) / EVALUATION
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def write_evaluation(folder: str | Path, record: Mapping[str, Any]) -> None:
    """Writes what was measured, whole or not at all."""
    paths.write_whole(paths.local(folder) / EVALUATION, json.dumps(record, indent=1) + "\n")


def _parse(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
