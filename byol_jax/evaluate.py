"""What the features of a run are worth, beside the same network untrained and raw pixels."""

import itertools
import json
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from byol_jax import build, data, metrics
from byol_jax.evaluation import features, protocols, table
from byol_jax.train_state import TrainState

BASELINES = ("untrained", "raw pixels")


def evaluate(
    config: ConfigDict,
    workdir: str,
    parts: build.Parts,
    sources: tuple[data.Source, data.Source],
    states: dict[str, TrainState],
) -> dict[str, list[table.Row]]:
    """The protocols' rows for each state and for raw pixels, also written to evaluation.json.

    sources: the training and the test split. states: on the host, by the name that they have in
        the table.
    """
    options = config.evaluate.to_dict()
    wanted = [name for name in states if name == "learned" or name in options["baselines"]]
    unknown = [name for name in options["baselines"] if name not in BASELINES]
    if unknown:
        raise ValueError(
            f"config.evaluate.baselines has {unknown[0]!r}; there are {', '.join(BASELINES)}."
        )
    encoders = {name: _encoder(parts, states[name]) for name in wanted}
    if "raw pixels" in options["baselines"]:
        encoders["raw pixels"] = _pixels
    rows, measures = {}, {}
    for name, encode in encoders.items():
        splits = [(features.extract(encode, s.images), s.labels) for s in sources]
        rows[name] = _rows(splits, sources[0].num_classes, options)
        measures[name] = _measures(splits[1][0])
    record = {name: [row._asdict() for row in found] for name, found in rows.items()}
    step = int(states["learned"].step)
    text = json.dumps({"step": step, "accuracy": record, "measures": measures}, indent=2)
    Path(workdir, "evaluation.json").write_text(text + "\n", encoding="utf-8")
    return rows


def _encoder(parts, state):
    return jax.jit(lambda images: parts.encode(state.params, state.stats, images))


def _pixels(images):
    full = np.float32(np.iinfo(images.dtype).max)
    return np.asarray(images, np.float32).reshape(len(images), -1) / full


def _rows(splits, num_classes, options):
    return protocols.evaluate(
        *itertools.chain(*splits),
        num_classes=num_classes,
        protocols=options["protocols"],
        options={k: v for k, v in options["options"].items() if k in options["protocols"]},
    )


def _measures(rows):
    """Of features [N, F] of the test split: how much of their space they use."""
    rank = metrics.effective_rank(rows - rows.mean(axis=0, keepdims=True))
    return {"spread": float(metrics.spread(rows)), "effective_rank": float(rank)}
