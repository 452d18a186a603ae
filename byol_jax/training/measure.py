"""Evaluates the encoder of a run, the untrained encoder and raw pixels."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import rich
from ml_collections import ConfigDict

from byol_jax import checkpoint, data, encoders, errors, metrics, train_state, workdir
from byol_jax.builders import encoder as build_encoder
from byol_jax.evaluation import features, finetune, knn, protocols, table
from byol_jax.evaluation.tuning import Images
from byol_jax.system import paths, version
from byol_jax.training import start


class Candidate(NamedTuple):
    """A feature extractor to evaluate: an encoder, or a baseline without one.

    Attributes:
        encode: Maps images [B, H, W, C] to features [B, F].
        step: Number of training steps of the encoder.
        encoder: The encoder, for protocols that train on images; None for raw pixels.
        info: Additional settings for the rows of this candidate.
    """

    encode: Callable[[np.ndarray], jax.Array | np.ndarray]
    step: int
    encoder: encoders.Encoder | None
    info: Mapping[str, Any] = {}


def pixels(images: np.ndarray) -> np.ndarray:
    """Converts images to flat pixel values in [0, 1], a baseline without a network.

    Args:
        images: Unsigned integers [B, H, W, C].

    Returns:
        Features, float32 [B, H * W * C].
    """
    largest = np.float32(np.iinfo(images.dtype).max)
    return np.asarray(images, np.float32).reshape(len(images), -1) / largest


def evaluate(
    config: ConfigDict,
    folder: str | Path | None,
    sources: tuple[data.Source, data.Source],
    candidates: Mapping[str, Candidate],
) -> dict[str, list[table.Row]]:
    """Evaluates several feature extractors with the protocols of the config.

    Prints a table of accuracies and writes evaluation.json.

    Args:
        config: The experiment's config, checked by config.check.check_evaluation.
        folder: Working directory for the results; None writes no file.
        sources: Training and test split, from inputs.open_evaluation.
        candidates: The candidates by name.

    Returns:
        One row per candidate and protocol, in the order of the protocols; one per fraction of
        labels for "semi".
    """
    protocol_names = tuple(config.evaluate.protocols)
    options = config.evaluate.options.to_dict()
    options = {name: options[name] for name in options if name in protocol_names}
    train_source, test_source = sources
    num_classes = train_source.require_labels()
    train = Images(train_source.gather, train_source.labels)
    test = Images(test_source.gather, test_source.labels)
    rows = {}
    measures = {}
    for name, candidate in candidates.items():
        # Cached, because the measures below use the features that the protocols extracted.
        extract = functools.cache(functools.partial(_extract, candidate.encode, sources))
        backbone = None
        if candidate.encoder is not None:
            backbone = build_encoder.backbone(config, candidate.encoder)
        results = protocols.evaluate(
            protocols.Subject(extract, backbone),
            train,
            test,
            num_classes=num_classes,
            protocols=protocol_names,
            options=options,
        )
        origin = _origin(config, sources, candidate)
        rows[name] = [row._replace(settings={**origin, **row.settings}) for row in results]
        if extract.cache_info().currsize:
            _, test_features = extract()
            measures[name] = _measures(test_features)
    files = []
    if folder is not None:
        folder = paths.local(folder)
        files.append(_write(folder, rows, measures, train_source.classes))
        if "semi" in protocol_names:
            files += _write_labels(folder, train.labels, num_classes, options)
    rich.print(table.table(rows))
    for file in files:
        print(f"wrote {file}")
    return rows


def measure_run(
    experiment: start.Experiment,
    last: train_state.TrainState,
    checkpoints: checkpoint.Checkpoints,
) -> dict[str, list[table.Row]]:
    """Evaluates the checkpoints in config.evaluate.steps and the baselines of a run.

    Args:
        experiment: The experiment.
        last: The newest train state, on the host.
        checkpoints: The checkpoints of the run.

    Returns:
        The results by candidate; see `evaluate`.

    Raises:
        UserError: If the experiment has no splits to evaluate on.
        FileNotFoundError: If a checkpoint in config.evaluate.steps does not exist.
    """
    config = experiment.config
    if experiment.splits is None:
        raise errors.UserError(
            "the experiment has no splits to evaluate on; set evaluate.protocols, and use data "
            "with labels."
        )
    train_source, _ = experiment.splits
    states = {}
    for step in config.evaluate.steps:
        if step == "last":
            states["learned"] = last
        elif step == "best":
            states["best"] = _restore_best(experiment, checkpoints, train_source)
        else:
            states[f"step {step}"] = checkpoints.restore(experiment.first, step=step)
    if "untrained" in config.evaluate.baselines:
        states["untrained"] = experiment.first
    candidates = {name: candidate(experiment, state) for name, state in states.items()}
    if "raw pixels" in config.evaluate.baselines:
        candidates["raw pixels"] = Candidate(pixels, 0, None)
    return evaluate(config, experiment.workdir, experiment.splits, candidates)


def candidate(experiment: start.Experiment, state: train_state.TrainState) -> Candidate:
    """Creates a feature extractor to evaluate, from the encoder of a train state.

    Args:
        experiment: The experiment.
        state: The train state, on the host.

    Returns:
        The candidate, with its parameters on the default device.
    """
    encoder = build_encoder.of_state(
        experiment.config, experiment.parts.method, experiment.source, state
    )
    params, stats = jax.device_put((state.params, state.stats))
    encode = functools.partial(jax.jit(experiment.parts.encode), params, stats)
    return Candidate(encode, int(state.step), encoder)


def validation_accuracy(candidate: Candidate, source: data.Source) -> float:
    """Measures kNN accuracy on a random tenth of a split, with the other nine tenths as neighbors.

    It serves to choose among checkpoints without the test split.

    Args:
        candidate: The features to measure.
        source: The training split.

    Returns:
        Accuracy in [0, 1].
    """
    rows = features.extract(candidate.encode, source.images)
    labels = source.labels
    neighbours, queries = features.split(np.random.default_rng(0), len(rows), 0.1)
    row = knn.knn(
        rows[neighbours],
        labels[neighbours],
        rows[queries],
        labels[queries],
        num_classes=source.require_labels(),
    )
    return row.accuracy


def _restore_best(
    experiment: start.Experiment, checkpoints: checkpoint.Checkpoints, source: data.Source
) -> train_state.TrainState:
    """Restores the checkpoint with the best validation accuracy, the newest one in a tie."""
    best = None
    best_accuracy = -1.0
    for step in checkpoints.steps():
        state = checkpoints.restore(experiment.first, step=step)
        accuracy = validation_accuracy(candidate(experiment, state), source)
        rich.print(
            f"step {step}: kNN accuracy {accuracy:.2%} on a held-out tenth of the training split"
        )
        if accuracy >= best_accuracy:
            best = state
            best_accuracy = accuracy
    if best is None:
        raise FileNotFoundError(
            f"{experiment.workdir} has no checkpoint; run `train` with this --workdir first."
        )
    return best


def _extract(
    encode: Callable[[np.ndarray], jax.Array | np.ndarray],
    sources: tuple[data.Source, data.Source],
) -> tuple[np.ndarray, np.ndarray]:
    train, test = sources
    return features.extract(encode, train.images), features.extract(encode, test.images)


def _origin(
    config: ConfigDict, sources: tuple[data.Source, data.Source], candidate: Candidate
) -> dict[str, Any]:
    """Returns the settings that all result rows share: data, step, seed and commit."""
    train, test = sources
    return {
        "data": train.name,
        "train_split": train.split,
        "test_split": test.split,
        "step": candidate.step,
        "run_seed": config.seed,
        "commit": version.commit(),
        **candidate.info,
    }


def _measures(rows) -> dict[str, float]:
    """Measures how much of the feature space the test features [N, F] occupy."""
    rank = metrics.effective_rank(rows - rows.mean(axis=0, keepdims=True))
    return {"spread": float(metrics.spread(rows)), "effective_rank": float(rank)}


def _write(folder: Path, rows, measures, classes) -> Path:
    accuracy = {name: [row._asdict() for row in results] for name, results in rows.items()}
    steps = [row.settings["step"] for results in rows.values() for row in results]
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


def _write_labels(folder: Path, labels: np.ndarray, num_classes: int, options) -> list[Path]:
    """Writes the numbers of the images on which "semi" trains, a file per fraction and seed."""
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
