"""Protocols that train on images: linear probes, fine-tuning, and fine-tuning on few labels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from byol_jax import errors
from byol_jax.evaluation import features, table, tuning
from byol_jax.evaluation.table import Row
from byol_jax.evaluation.tuning import Backbone, Images, Recipe

# Linear probes of the papers. Learning rates are for a batch of 256.
PROBES: dict[str, dict[str, Any]] = {
    "simclr": {"learning_rates": (0.1,), "epochs": 90, "batch_size": 4096},
    "moco": {
        "learning_rates": (30.0,),
        "epochs": 100,
        "batch_size": 256,
        "nesterov": False,
        "milestones": (0.6, 0.8),
    },
    "byol": {"learning_rates": (0.4, 0.3, 0.2, 0.1, 0.05), "epochs": 80, "batch_size": 1024},
    "mocov3": {"learning_rates": (0.1,), "epochs": 90, "batch_size": 1024, "nesterov": False},
}

# Defaults of `semi`.
FRACTIONS = (0.01, 0.1)
SEEDS = (0,)


def probe(
    backbone: Backbone,
    train: Images,
    test: Images,
    *,
    num_classes: int,
    recipe: str = "simclr",
    validation_fraction: float = 0.1,
    seed: int = 0,
    **changes,
) -> Row:
    """Trains a linear classifier on top of a frozen encoder and measures its accuracy.

    Training sees random crops of the images.

    Args:
        backbone: The encoder.
        train: Training split.
        test: Test split.
        num_classes: Number of classes.
        recipe: Paper whose settings to use: "simclr" (Chen et al. 2020, appendix B.6), "moco" (He
            et al. 2020, section 4.1), "byol" (Grill et al. 2020, appendix C.1) or "mocov3".
        validation_fraction: Fraction of the training split that is held out to choose the learning
            rate; unused if there is only one.
        seed: Seed of the held-out part and of the training.
        **changes: Settings that replace those of the recipe: `learning_rates`, `epochs`, or a field
            of tuning.Recipe.

    Returns:
        The accuracy on the test split.

    Raises:
        UserError: If the recipe or a changed setting is unknown, and in the cases of `finetune`.
    """
    if recipe not in PROBES:
        names = ", ".join(PROBES)
        raise errors.UserError(f"unknown recipe {recipe!r}; choose one of {names}.")
    arguments = {"weight_decay": 0.0, **PROBES[recipe], **changes, "frozen": True}
    row = finetune(
        backbone,
        train,
        test,
        num_classes=num_classes,
        validation_fraction=validation_fraction,
        seed=seed,
        **arguments,
    )
    return row._replace(protocol=f"probe ({recipe})")


def finetune(
    backbone: Backbone,
    train: Images,
    test: Images,
    *,
    num_classes: int,
    learning_rates: Sequence[float] = (0.02, 0.1, 0.5),
    epochs: int = 10,
    batch_size: int = 128,
    validation_fraction: float = 0.1,
    seed: int = 0,
    **recipe,
) -> Row:
    """Fine-tunes an encoder with a linear classifier and measures its accuracy.

    Each learning rate is tried on a random part of the training split. The one with the best
    accuracy on the held-out part (the first one in a tie) is used to train on the whole training
    split. A single learning rate is used without a trial. The test split plays no part in this
    choice.

    Args:
        backbone: The encoder to start from.
        train: Training split, with labels in [0, num_classes).
        test: Test split, with labels in [0, num_classes).
        num_classes: Number of classes.
        learning_rates: Learning rates to try, for a batch of 256; they scale linearly with the
            batch size.
        epochs: Passes over the training split.
        batch_size: Examples per step; at most the size of the training split is used.
        validation_fraction: Fraction of the training split that is held out to choose the learning
            rate.
        seed: Seed of the held-out part and of the training.
        **recipe: The other fields of tuning.Recipe.

    Returns:
        The accuracy on the test split.

    Raises:
        UserError: If labels are missing or out of range, if an option is unknown or out of range,
            or if validation_fraction leaves one of the parts empty.
    """
    search = _make_search(backbone, train, test, num_classes, learning_rates, batch_size, recipe)
    num_train = len(train.labels)
    folds = []
    if len(learning_rates) > 1:
        rng = np.random.default_rng(seed)
        folds = [features.split(rng, num_train, validation_fraction)]
    result = search.run(np.arange(num_train), folds, epochs, seed)
    settings = {
        **search.settings(epochs, num_train),
        "learning_rate": result.learning_rate,
        "validation_accuracy": result.validation_accuracy,
        "validation_fraction": validation_fraction if folds else 0.0,
        "seed": seed,
    }
    return Row("finetune", result.accuracy, settings, result.confusion)


def semi(
    backbone: Backbone,
    train: Images,
    test: Images,
    *,
    num_classes: int,
    fractions: Sequence[float] = FRACTIONS,
    epochs: Sequence[int] = (60, 30),
    learning_rates: Sequence[float] = (0.1, 0.4, 1.6),
    batch_size: int = 32,
    folds: int = 3,
    seeds: Sequence[int] = SEEDS,
    **recipe,
) -> list[Row]:
    """Fine-tunes an encoder on a small fraction of the labels and measures its accuracy.

    `subset` picks the labelled examples, different ones for each seed. The learning rate is chosen
    by cross-validation among these examples, so that no other training label is used. Source: Chen
    et al. 2020, appendix B.5.

    Args:
        backbone: The encoder to start from.
        train: Training split, with labels in [0, num_classes).
        test: Test split, with labels in [0, num_classes).
        num_classes: Number of classes.
        fractions: Fractions of the training labels to use, in (0, 1].
        epochs: Passes over the labelled examples, one number per fraction.
        learning_rates: Learning rates to try, for a batch of 256; they scale linearly with the
            batch size.
        batch_size: Examples per step; at most the number of labelled examples is used.
        folds: Number of folds of the cross-validation.
        seeds: Seeds; each one picks its own labelled examples.
        **recipe: The other fields of tuning.Recipe.

    Returns:
        One row per fraction: the mean accuracy over the seeds, and the confusion matrix of the last
        seed.

    Raises:
        UserError: If labels are missing or out of range, or if an option is unknown or out of
            range.
    """
    search = _make_search(backbone, train, test, num_classes, learning_rates, batch_size, recipe)
    if len(epochs) != len(fractions):
        num_epochs = len(epochs)
        num_fractions = len(fractions)
        raise errors.UserError(
            f"epochs has {num_epochs} entries for {num_fractions} fractions; give one number of "
            "epochs per fraction."
        )
    return [
        search.run_fraction(fraction, fraction_epochs, folds, seeds)
        for fraction, fraction_epochs in zip(fractions, epochs, strict=True)
    ]


def subset(labels: np.ndarray, fraction: float, *, num_classes: int, seed: int) -> np.ndarray:
    """Picks random examples of a split, the same number from every class.

    This number is fraction * N / num_classes, rounded, and at least 1. A class with fewer examples
    contributes all of them.

    Args:
        labels: Labels of the split, int [N].
        fraction: Fraction of the examples to pick, in (0, 1].
        num_classes: Number of classes.
        seed: Seed of the choice.

    Returns:
        Example numbers in ascending order, int [n].

    Raises:
        UserError: If the fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise errors.UserError(f"the fraction of labels must be in (0, 1], not {fraction}.")
    rng = np.random.default_rng(seed)
    labels = np.asarray(labels)
    per_class = max(round(fraction * len(labels) / num_classes), 1)
    picked = [rng.permutation(np.flatnonzero(labels == c))[:per_class] for c in range(num_classes)]
    return np.sort(np.concatenate(picked))


class _Result(NamedTuple):
    learning_rate: float
    validation_accuracy: float | None  # None if there was only one learning rate
    accuracy: float
    confusion: tuple[tuple[int, ...], ...] | None


class _Search(NamedTuple):
    """A search for a learning rate, and the training and testing of the final model."""

    tuner: tuning.Tuner
    train: Images
    test: Images
    num_classes: int
    learning_rates: tuple[float, ...]
    recipe: Recipe

    def run(
        self,
        index: np.ndarray,
        folds: Sequence[tuple[np.ndarray, np.ndarray]],
        epochs: int,
        seed: int,
    ) -> _Result:
        """Chooses a learning rate by validation, trains on all examples, and tests the result.

        Args:
            index: Numbers of all training examples.
            folds: Example numbers of a training and a validation part per fold; empty takes the
                first learning rate.
            epochs: Passes over the training examples.
            seed: Seed of the training.

        Returns:
            The accuracy on the test split and the choice behind it.

        Raises:
            UserError: If epochs is below 1.
        """
        if epochs < 1:
            raise errors.UserError(f"epochs must be at least 1, not {epochs}.")
        learning_rate = self.learning_rates[0]
        validation_accuracy = None
        if folds:
            correct = [
                self._count_correct(rate, folds, epochs, seed) for rate in self.learning_rates
            ]
            learning_rate = self.learning_rates[int(np.argmax(correct))]
            validation_accuracy = max(correct) / sum(len(held_out) for _, held_out in folds)
        classifier = self.tuner.fit(
            self.train, index, learning_rate=learning_rate, epochs=epochs, seed=seed
        )
        labels = self.test.labels
        predictions = self.tuner.predict(classifier, self.test, np.arange(len(labels)))
        confusion = table.confusion(labels, predictions, self.num_classes)
        accuracy = float(np.mean(predictions == labels))
        return _Result(learning_rate, validation_accuracy, accuracy, confusion)

    def run_fraction(
        self, fraction: float, epochs: int, num_folds: int, seeds: Sequence[int]
    ) -> Row:
        """Runs the learning-rate search on a fraction of the training labels, once per seed.

        Args:
            fraction: Fraction of the training labels to use.
            epochs: Passes over the labelled examples.
            num_folds: Number of folds of the cross-validation.
            seeds: Seeds; each one picks its own labelled examples.

        Returns:
            The mean accuracy over the seeds, and the confusion matrix of the last seed.
        """
        results = []
        for seed in seeds:
            index = subset(self.train.labels, fraction, num_classes=self.num_classes, seed=seed)
            folds = []
            if len(self.learning_rates) > 1:
                folds = _make_folds(index, num_folds, seed)
            results.append(self.run(index, folds, epochs, seed))
        accuracies = tuple(result.accuracy for result in results)
        settings = {
            **self.settings(epochs, len(index)),
            "learning_rate": tuple(result.learning_rate for result in results),
            "validation_accuracy": tuple(result.validation_accuracy for result in results),
            "accuracies": accuracies,
            "seeds": tuple(seeds),
            "fraction": fraction,
            "folds": num_folds,
        }
        mean = float(np.mean(accuracies))
        return Row(f"semi {100 * fraction:g}%", mean, settings, results[-1].confusion)

    def _count_correct(self, learning_rate, folds, epochs, seed) -> int:
        correct = 0
        for fitted, held_out in folds:
            classifier = self.tuner.fit(
                self.train, fitted, learning_rate=learning_rate, epochs=epochs, seed=seed
            )
            predictions = self.tuner.predict(classifier, self.train, held_out)
            correct += int(np.sum(predictions == self.train.labels[held_out]))
        return correct

    def settings(self, epochs: int, num_train: int) -> dict[str, Any]:
        """Returns the settings of the search, to be stored in a result row.

        Args:
            epochs: Passes over the training examples.
            num_train: Number of training examples.

        Returns:
            The settings by name.
        """
        return {
            **self.recipe._asdict(),
            "learning_rates": tuple(self.learning_rates),
            "epochs": epochs,
            "num_train": num_train,
            "num_test": len(self.test.labels),
        }


def _make_search(
    backbone: Backbone,
    train: Images,
    test: Images,
    num_classes: int,
    learning_rates: Sequence[float],
    batch_size: int,
    recipe_options: Mapping[str, Any],
) -> _Search:
    """Checks the labels and the options, and creates the search."""
    for images, split in ((train, "training"), (test, "test")):
        # These protocols have no features; an empty array stands in for them.
        num_labels = 0 if images.labels is None else len(images.labels)
        features.check(np.zeros((num_labels, 0)), images.labels, num_classes, split)
    unknown = sorted(set(recipe_options) - set(Recipe._fields))
    if unknown:
        option = unknown[0]
        names = ", ".join(["learning_rates", "epochs", *Recipe._fields])
        raise errors.UserError(f"unknown option {option!r}; the options are {names}.")
    if len(learning_rates) == 0 or min(learning_rates) <= 0:
        rates = tuple(learning_rates)
        raise errors.UserError(f"learning_rates must be one or more positive numbers, not {rates}.")
    if batch_size < 1:
        raise errors.UserError(f"batch_size must be at least 1, not {batch_size}.")
    recipe = Recipe(batch_size, **recipe_options)
    tuner = tuning.Tuner(backbone, num_classes, recipe)
    return _Search(tuner, train, test, num_classes, tuple(learning_rates), recipe)


def _make_folds(
    index: np.ndarray, num_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Splits examples at random into training and validation folds for cross-validation."""
    parts = np.array_split(np.random.default_rng(seed).permutation(index), num_folds)
    return [(np.concatenate(parts[:i] + parts[i + 1 :]), part) for i, part in enumerate(parts)]
