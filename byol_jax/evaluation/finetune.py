"""Protocols that train from images: the papers' linear probes, fine-tuning, and few labels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from byol_jax import errors
from byol_jax.evaluation import features, table, tuning
from byol_jax.evaluation.table import Row
from byol_jax.evaluation.tuning import Backbone, Images, Recipe

PROBES = {  # rates are of a batch of 256
    "simclr": {"learning_rates": (0.1,), "epochs": 90, "batch_size": 4096},  # appendix B.6
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

FRACTIONS, SEEDS = (0.01, 0.1), (0,)  # of semi


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
    """The accuracy of a linear classifier on the frozen encoder, trained on random crops.

    recipe: as which paper did it: "simclr" (Chen et al. 2020, appendix B.6), "moco" (He et al. 2020,
        section 4.1), "byol" (Grill et al. 2020, appendix C.1) or "mocov3"; changes: other
        learning_rates, epochs, batch_size, … (see tuning.Recipe). The rest is as in finetune.

    Raises ValueError for an unknown recipe or change, and as finetune does.
    """
    if recipe not in PROBES:
        raise errors.UserError(f"unknown recipe {recipe!r}; choose one of {', '.join(PROBES)}.")
    arguments = {"weight_decay": 0.0, **PROBES[recipe], **changes, "frozen": True}
    how = {"num_classes": num_classes, "validation_fraction": validation_fraction, "seed": seed}
    row = finetune(backbone, train, test, **how, **arguments)
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
    """The accuracy of the whole network trained on, with a classifier put upon it.

    Labels are int [N] in [0, num_classes). Each learning rate, times batch_size / 256, is tried on
    the training split without a random validation_fraction of it; the one best there (the first of
    equals) is trained once more on the whole split, and the test split is read once. One rate alone
    is not tried. recipe: the rest of tuning.Recipe. No batch is larger than the split.

    Raises ValueError when labels are missing or out of range, for a wrong option, and when
    validation_fraction leaves no example on either side.
    """
    search = _search(backbone, train, test, num_classes, learning_rates, batch_size, recipe)
    everything, folds = np.arange(len(train.labels)), []
    if len(learning_rates) > 1:
        rng = np.random.default_rng(seed)
        folds = [features.split(rng, len(everything), validation_fraction)]
    measured = search.measure(everything, folds, epochs, seed)
    settings = {
        **search.told(epochs, len(everything)),
        "learning_rate": measured.learning_rate,
        "validation_accuracy": measured.validation_accuracy,
        "validation_fraction": validation_fraction if folds else 0.0,
        "seed": seed,
    }
    return Row("finetune", measured.accuracy, settings, measured.confusion)


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
    """The accuracy of the network fine-tuned on few labels, a row per fraction of the labels.

    The labels are those of `subset`, others for each seed; accuracies are means over seeds, and the
    confusion is the last one's. epochs: one number per fraction. Each rate is tried by
    cross-validation within these labels, in so many folds, and no other label is seen before the
    test split; the rest is as in finetune. Chen et al. 2020, appendix B.5.

    Raises ValueError as finetune does.
    """
    search = _search(backbone, train, test, num_classes, learning_rates, batch_size, recipe)
    if len(epochs) != len(fractions):
        raise errors.UserError(f"{len(fractions)} fractions want as many epochs, and got {epochs}.")
    rows = []
    for fraction, passes in zip(fractions, epochs, strict=True):
        found = []
        for seed in seeds:
            index = subset(train.labels, fraction, num_classes=num_classes, seed=seed)
            parts = _folds(index, folds, seed) if len(learning_rates) > 1 else []
            found.append(search.measure(index, parts, passes, seed))
        settings = {
            **search.told(passes, len(index)),
            "learning_rate": tuple(one.learning_rate for one in found),
            "validation_accuracy": tuple(one.validation_accuracy for one in found),
            "accuracies": tuple(one.accuracy for one in found),
            "seeds": tuple(seeds),
            "fraction": fraction,
            "folds": folds,
        }
        mean = float(np.mean(settings["accuracies"]))
        rows.append(Row(f"semi {100 * fraction:g}%", mean, settings, found[-1].confusion))
    return rows


def subset(labels: np.ndarray, fraction: float, *, num_classes: int, seed: int) -> np.ndarray:
    """Which of the examples with labels [N] have theirs: int [n], ascending, from every class alike.

    n is fraction * N, rounded to as many of each class, one at least; a class that has fewer gives
    all of its own. Raises ValueError for a fraction not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise errors.UserError(f"a fraction of the labels must be in (0, 1] and is {fraction}.")
    rng, labels = np.random.default_rng(seed), np.asarray(labels)
    each = max(round(fraction * len(labels) / num_classes), 1)
    picked = [rng.permutation(np.flatnonzero(labels == c))[:each] for c in range(num_classes)]
    return np.sort(np.concatenate(picked))


class _Measured(NamedTuple):
    learning_rate: float
    validation_accuracy: float | None
    accuracy: float
    confusion: tuple | None


class _Search(NamedTuple):
    """The choice of a learning rate, and what it then comes to on the test split."""

    tuner: tuning.Tuner
    train: Images
    test: Images
    num_classes: int
    learning_rates: tuple[float, ...]
    recipe: Recipe

    def measure(self, index, folds, epochs, seed) -> _Measured:
        """Of training on the examples at index; folds: (train, validation) pairs to choose by."""
        if epochs < 1:
            raise errors.UserError(f"epochs ({epochs}) must be 1 or more.")
        rate, validation = self.learning_rates[0], None
        if folds:
            correct = [self._correct(rate, folds, epochs, seed) for rate in self.learning_rates]
            rate = self.learning_rates[int(np.argmax(correct))]
            validation = max(correct) / sum(len(held_out) for _, held_out in folds)
        how = {"learning_rate": rate, "epochs": epochs, "seed": seed}
        classifier, labels = self.tuner.fit(self.train, index, **how), self.test.labels
        guesses = self.tuner.guess(classifier, self.test, np.arange(len(labels)))
        confusion = table.confusion(labels, guesses, self.num_classes)
        return _Measured(rate, validation, float(np.mean(guesses == labels)), confusion)

    def _correct(self, rate, folds, epochs, seed):
        correct, how = 0, {"learning_rate": rate, "epochs": epochs, "seed": seed}
        for kept, held_out in folds:
            classifier = self.tuner.fit(self.train, kept, **how)
            guesses = self.tuner.guess(classifier, self.train, held_out)
            correct += int(np.sum(guesses == self.train.labels[held_out]))
        return correct

    def told(self, epochs, num_train):
        """What a row tells of it."""
        sizes = {"num_train": num_train, "num_test": len(self.test.labels)}
        rates = {"learning_rates": tuple(self.learning_rates), "epochs": epochs}
        return {**self.recipe._asdict(), **rates, **sizes}


def _search(backbone, train, test, num_classes, learning_rates, batch_size, rest) -> _Search:
    for images, split in ((train, "training"), (test, "test")):
        rows = None if images.labels is None else np.zeros((len(images.labels), 0))
        features.check(rows, images.labels, num_classes, split)
    unknown = sorted(set(rest) - set(Recipe._fields))
    if unknown:
        known = ["learning_rates", "epochs", *Recipe._fields]
        raise errors.UserError(f"there is no option {unknown[0]!r}; there are {', '.join(known)}.")
    if len(learning_rates) == 0 or min(learning_rates) <= 0:
        raise errors.UserError(
            f"learning_rates {tuple(learning_rates)} must be one or more, above 0."
        )
    if batch_size < 1:
        raise errors.UserError(f"batch_size ({batch_size}) must be 1 or more.")
    recipe = Recipe(batch_size, **rest)
    tuner = tuning.Tuner(backbone, num_classes, recipe)
    return _Search(tuner, train, test, num_classes, tuple(learning_rates), recipe)


def _folds(index, count, seed):
    """(train, validation) pairs of parts of index, shuffled; each example validates once."""
    parts = np.array_split(np.random.default_rng(seed).permutation(index), count)
    kept = [parts[:i] + parts[i + 1 :] for i in range(count)]
    return [(np.concatenate(k), part) for k, part in zip(kept, parts, strict=True)]
