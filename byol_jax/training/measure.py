"""What features are worth: a run's, beside those of the same network untrained and of raw pixels."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import rich
from ml_collections import ConfigDict

from byol_jax import checkpoint, data, encoders, metrics, workdir
from byol_jax.builders import encoder as build_encoder
from byol_jax.builders import views
from byol_jax.evaluation import features, finetune, knn, protocols, table
from byol_jax.evaluation.tuning import Backbone, Images
from byol_jax.system import paths, version
from byol_jax.training import start


class Candidate(NamedTuple):
    """Features to measure.

    Attributes:
        encode: images [B, H, W, C] -> features [B, F].
        step: updates done by the encoder.
        encoder: the network that image protocols train on; None where there is none.
        about: further settings of the candidate's rows.
    """

    encode: Callable
    step: int
    encoder: encoders.Encoder | None
    about: Mapping[str, Any] = {}


def pixels(images: np.ndarray) -> np.ndarray:
    """The features without a network: [B, H, W, C] of integers to [B, H * W * C] in [0, 1]."""
    full = np.float32(np.iinfo(images.dtype).max)
    return np.asarray(images, np.float32).reshape(len(images), -1) / full


def evaluate(
    config: ConfigDict,
    folder: str | Path | None,
    sources: tuple[data.Source, data.Source],
    candidates: Mapping[str, Candidate],
) -> dict[str, list[table.Row]]:
    """The protocols' rows for each candidate, in their order; also written and printed.

    Args:
        config: an experiment whose `evaluate` config.check.check_evaluation lets through.
        folder: the workdir that gets evaluation.json; None writes no file.
        sources: as inputs.open_evaluation gives them.
        candidates: by name.
    """
    chosen = tuple(config.evaluate.protocols)
    options = config.evaluate.options.to_dict()
    options = {name: options[name] for name in options if name in chosen}
    splits = [Images(source.gather, source.labels) for source in sources]
    rows, measures = {}, {}
    for name, candidate in candidates.items():
        extract = functools.cache(functools.partial(_features, candidate.encode, sources))
        measured = protocols.evaluate(
            protocols.Subject(extract, _backbone(config, candidate.encoder)),
            *splits,
            num_classes=sources[0].num_classes,
            protocols=chosen,
            options=options,
        )
        origin = _origin(config, sources, candidate)
        rows[name] = [row._replace(settings={**origin, **row.settings}) for row in measured]
        if extract.cache_info().currsize:
            measures[name] = _measures(extract()[1])
    written = []
    if folder is not None:
        folder = paths.local(folder)
        written.append(_write(folder, rows, measures, sources[0].classes))
        if "semi" in chosen:
            written += _write_labels(folder, splits[0].labels, sources[0].num_classes, options)
    rich.print(table.table(rows))
    for file in written:
        print(f"wrote {file}")
    return rows


def measure_run(
    experiment: start.Experiment, last, checkpoints: checkpoint.Checkpoints
) -> dict[str, list[table.Row]]:
    """Evaluates the checkpoints that config.evaluate.steps names, and its baselines.

    last: the newest state, on the host.
    """
    config = experiment.config
    states = {}
    for which in config.evaluate.steps:
        if which == "last":
            states["learned"] = last
        elif which == "best":
            states["best"] = _best(experiment, checkpoints)
        else:
            states[f"step {which}"] = checkpoints.restore(experiment.first, step=which)
    if "untrained" in config.evaluate.baselines:
        states["untrained"] = experiment.first
    candidates = {name: candidate(experiment, state) for name, state in states.items()}
    if "raw pixels" in config.evaluate.baselines:
        candidates["raw pixels"] = Candidate(pixels, 0, None)
    return evaluate(config, experiment.workdir, experiment.splits, candidates)


def candidate(experiment: start.Experiment, state) -> Candidate:
    """The candidate of a train state on the host."""
    encoder = build_encoder.of_state(
        experiment.config, experiment.parts.method, experiment.source, state
    )
    placed = jax.device_put((state.params, state.stats))
    encode = functools.partial(jax.jit(experiment.parts.encode), *placed)
    return Candidate(encode, int(state.step), encoder)


def validation_accuracy(candidate: Candidate, source: data.Source) -> float:
    """By kNN, on a tenth of the training split, of the rest: to choose among checkpoints."""
    rows, labels = features.extract(candidate.encode, source.images), source.labels
    kept, held_out = features.split(np.random.default_rng(0), len(rows), 0.1)
    row = knn.knn(
        rows[kept], labels[kept], rows[held_out], labels[held_out], num_classes=source.num_classes
    )
    return row.accuracy


def _best(experiment: start.Experiment, checkpoints: checkpoint.Checkpoints):
    """The state of the checkpoint that is best by kNN on a tenth of the training split."""
    best, best_accuracy = None, -1.0
    for step in checkpoints.steps():
        state = checkpoints.restore(experiment.first, step=step)
        accuracy = validation_accuracy(candidate(experiment, state), experiment.splits[0])
        rich.print(f"step {step}: {accuracy:.2%} by kNN on a tenth of the training split")
        if accuracy >= best_accuracy:
            best, best_accuracy = state, accuracy
    return best


def _features(encode, sources):
    return tuple(features.extract(encode, source.images) for source in sources)


def _backbone(config: ConfigDict, encoder: encoders.Encoder | None) -> Backbone | None:
    if encoder is None:
        return None
    view = views.tuning_view(config) if config.views else views.crops(encoder.about.view)
    return Backbone(
        encoder.network, encoder.params, encoder.stats, encoder.num_features, view, encoder.view
    )


def _origin(config, sources, candidate):
    """The settings of every row: on what, when and by what code it was measured."""
    return {
        "data": sources[0].name,
        "train_split": sources[0].split,
        "test_split": sources[1].split,
        "step": candidate.step,
        "run_seed": config.seed,
        "commit": version.commit(),
        **candidate.about,
    }


def _measures(rows):
    """Of features [N, F] of the test split: how much of their space they use."""
    rank = metrics.effective_rank(rows - rows.mean(axis=0, keepdims=True))
    return {"spread": float(metrics.spread(rows)), "effective_rank": float(rank)}


def _write(folder, rows, measures, classes) -> Path:
    accuracy = {name: [row._asdict() for row in measured] for name, measured in rows.items()}
    steps = [row.settings["step"] for measured in rows.values() for row in measured]
    workdir.write_evaluation(
        folder,
        {
            "step": steps[0] if steps else None,
            "accuracy": accuracy,
            "measures": measures,
            "classes": classes,
        },
    )
    return folder / workdir.EVALUATION


def _write_labels(folder, labels, num_classes, options) -> list[Path]:
    """Which examples had their labels under "semi": a file per fraction and seed, a line each."""
    semi = options.get("semi", {})
    files = []
    for fraction in semi.get("fractions", finetune.FRACTIONS):
        for seed in semi.get("seeds", finetune.SEEDS):
            index = finetune.subset(labels, fraction, num_classes=num_classes, seed=seed)
            lines = "".join(f"{i}\n" for i in index)
            name = f"labels_{100 * fraction:g}_percent_seed_{seed}.txt"
            paths.write_whole(folder / name, lines)
            files.append(folder / name)
    return files
