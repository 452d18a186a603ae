"""What features are worth: those of a run, beside the same network untrained and raw pixels."""

import functools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from byol_jax import data, metrics, runtime, sections, told, views
from byol_jax import encoder as encoders
from byol_jax.evaluation import features, finetune, knn, protocols, table
from byol_jax.evaluation.tuning import Backbone, Images

BASELINES = ("untrained", "raw pixels")
FILE = "evaluation.json"
STEPS = ("last", "best")  # beside numbers, in config.evaluate.steps


class Candidate(NamedTuple):
    """Features to measure: encode(images [B, H, W, C]) -> [B, F], after so many training steps.

    encoder: the network that image protocols train on, None where there is none.  about: what the
    rows tell of it beside the step.
    """

    encode: Callable
    step: int
    encoder: encoders.Encoder | None
    about: Mapping[str, Any] = {}


def pixels(images: np.ndarray) -> np.ndarray:
    """The features without a network: [B, H, W, C] of integers to [B, H * W * C] in [0, 1]."""
    full = np.float32(np.iinfo(images.dtype).max)
    return np.asarray(images, np.float32).reshape(len(images), -1) / full


def open_split(given: Mapping[str, Any], split: str) -> data.Source:
    """A split of the data set that a section like config.data names."""
    where = {"data_dir": given["data_dir"], "image_size": given["image_size"]}
    with told.of("data", {"name": given["name"], "split": split, **where}):
        return data.open_source(given["name"], split, **where)


def open_data(config: ConfigDict) -> tuple[data.Source, data.Source]:
    """The training and the test split to evaluate on: of config.evaluate.data, or of config.data.

    Raises ValueError where they have no labels, and as data.open_source does.
    """
    changed = {k: v for k, v in config.evaluate.data.items() if v is not None}
    given = {**config.data.to_dict(), **changed}
    sources = open_split(given, given["train_split"]), open_split(given, given["test_split"])
    for source in sources:
        source.require_labels()
        assert source.image_shape  # raises where evaluation wants a size
    return sources


def evaluate(
    config: ConfigDict,
    workdir: str | Path | None,
    sources: tuple[data.Source, data.Source],
    candidates: Mapping[str, Candidate],
) -> dict[str, list[table.Row]]:
    """The protocols' rows for each candidate, in their order; with a workdir also in its FILE.

    sources: as open_data gives them.

    Raises ValueError for an unknown baseline, protocol or option.
    """
    options = config.evaluate.to_dict()
    check(options)
    kept = {k: v for k, v in options["options"].items() if k in options["protocols"]}
    how = {"protocols": options["protocols"], "options": kept}
    splits = [Images(source.gather, source.labels) for source in sources]
    rows, measures = {}, {}
    for name, candidate in candidates.items():
        extracted = functools.cache(functools.partial(_features, candidate.encode, sources))
        subject = protocols.Subject(extracted, _backbone(config, candidate.encoder))
        found = protocols.evaluate(subject, *splits, num_classes=sources[0].num_classes, **how)
        made = _origin(config, sources, candidate)
        rows[name] = [row._replace(settings={**made, **row.settings}) for row in found]
        if extracted.cache_info().currsize:
            measures[name] = _measures(extracted()[1])
    if workdir is not None:
        _write(Path(workdir), rows, measures, sources[0].classes)
        _write_labels(Path(workdir), splits[0].labels, sources[0].num_classes, how)
    return rows


def check(options: Mapping[str, Any]) -> None:
    """Raises ValueError where config.evaluate asks for what is not there, before any work."""
    for name in options["baselines"]:
        sections.check_choice("evaluate.baselines", name, BASELINES)
    for name in options["protocols"]:
        sections.check_choice("evaluate.protocols", name, protocols.PROTOCOLS)
    for name in options["steps"]:
        if not sections.fits(name, int):
            sections.check_choice("evaluate.steps", name, (*STEPS, "a number"))
    for name, given in options["options"].items():
        sections.check_argument("evaluate.options", "it", name, [*protocols.PROTOCOLS])
        accepted = protocols.accepted(name)
        sections.check_arguments(f"evaluate.options.{name}", name, given, accepted)


def validation_accuracy(candidate: Candidate, source: data.Source) -> float:
    """By kNN, on a tenth of the training split, of the rest: to choose among checkpoints."""
    rows, labels = features.extract(candidate.encode, source.images), source.labels
    kept, held_out = features.split(np.random.default_rng(0), len(rows), 0.1)
    splits = (rows[kept], labels[kept], rows[held_out], labels[held_out])
    return knn.knn(*splits, num_classes=source.num_classes).accuracy


def _features(encode, sources):
    return tuple(features.extract(encode, source.images) for source in sources)


def _backbone(config, encoder) -> Backbone | None:
    if encoder is None:
        return None
    view = views.crops(encoder.about.view) if not config.views else views.tuning_view(config)
    networks = (encoder.network, encoder.params, encoder.stats, encoder.num_features)
    return Backbone(*networks, view, encoder.view)


def _origin(config, sources, candidate):
    """What every row tells: of what, when and by what code it was measured."""
    return {
        "data": sources[0].name,
        "train_split": sources[0].split,
        "test_split": sources[1].split,
        "step": candidate.step,
        "run_seed": config.seed,
        "commit": runtime.commit(),
        **candidate.about,
    }


def _measures(rows):
    """Of features [N, F] of the test split: how much of their space they use."""
    rank = metrics.effective_rank(rows - rows.mean(axis=0, keepdims=True))
    return {"spread": float(metrics.spread(rows)), "effective_rank": float(rank)}


def _write(workdir, rows, measures, classes):
    workdir.mkdir(parents=True, exist_ok=True)
    record = {name: [row._asdict() for row in found] for name, found in rows.items()}
    step = next((row.settings["step"] for found in rows.values() for row in found), None)
    written = {"step": step, "accuracy": record, "measures": measures, "classes": classes}
    scratch = workdir / f".{FILE}.partial"
    scratch.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    os.replace(scratch, workdir / FILE)


def _write_labels(workdir, labels, num_classes, how):
    """Which examples had their labels under "semi": a file per fraction and seed, a line each."""
    if "semi" not in how["protocols"]:
        return
    options = how["options"].get("semi", {})
    for fraction in options.get("fractions", finetune.FRACTIONS):
        for seed in options.get("seeds", finetune.SEEDS):
            index = finetune.subset(labels, fraction, num_classes=num_classes, seed=seed)
            lines = "".join(f"{i}\n" for i in index)
            name = f"labels_{100 * fraction:g}_percent_seed_{seed}.txt"
            (workdir / name).write_text(lines, encoding="utf-8")


def run_candidates(
    encode: Callable, states: Mapping[str, Any], about: Mapping[str, encoders.About], wanted
) -> dict[str, Candidate]:
    """Candidates of train states, by name, and "raw pixels" where it is wanted.

    encode: build.Parts's.  states, on the host, and about have the same names.
    """
    found = {}
    for name, state in states.items():
        encoder = encoders.Encoder(state.params["encoder"], state.stats["encoder"], about[name])
        placed = jax.device_put((state.params, state.stats))
        of_state = jax.jit(encode)
        found[name] = Candidate(functools.partial(of_state, *placed), int(state.step), encoder)
    if "raw pixels" in wanted:
        found["raw pixels"] = Candidate(pixels, 0, None)
    return found
