"""Frozen features as numpy arrays: extraction, checks, splits and standardization."""

from collections.abc import Callable

import jax
import numpy as np

from byol_jax import errors

BATCH = 500  # images whose features are computed at once


def extract(
    encode: Callable[[np.ndarray], jax.Array | np.ndarray],
    images: np.ndarray,
    *,
    batch_size: int = BATCH,
) -> np.ndarray:
    """Computes the features of images with an encoder, in batches.

    Args:
        encode: Maps images [B, ...] to features [B, F]; usually jitted. Each row must depend on its
            own image only, so batch norm must be in inference mode. It compiles once, because every
            batch has the same shape: the last one is padded with copies of its last image, and the
            features of the copies are dropped.
        images: Array [N, ...], usually uint8 [N, H, W, C]. It may be memory-mapped, since only
            slices are read.
        batch_size: Number of images per call of `encode`.

    Returns:
        Features, float32 [N, F].

    Raises:
        UserError: If there are no images, if batch_size is below 1, or if `encode` does not return
            one row of features per image.
    """
    num_images = len(images)
    if num_images == 0 or batch_size < 1:
        raise errors.UserError(
            "extract: the number of images and batch_size must be at least 1; "
            f"got {num_images} images and batch_size {batch_size}."
        )
    batch_size = min(batch_size, num_images)
    batches = []
    for start in range(0, num_images, batch_size):
        batch = np.asarray(images[start : start + batch_size])
        padding = batch_size - len(batch)
        padded = batch
        if padding:
            padded = np.concatenate([batch, np.repeat(batch[-1:], padding, axis=0)])
        features = np.asarray(encode(padded), dtype=np.float32)
        if features.ndim != 2 or len(features) != batch_size:
            shape = list(features.shape)
            raise errors.UserError(
                f"encode must return features [{batch_size}, F] for {batch_size} images, not "
                f"{shape}; pool over the spatial axes first."
            )
        batches.append(features[: len(batch)])
    return np.concatenate(batches)


def check(features: np.ndarray, labels: np.ndarray | None, num_classes: int, split: str) -> None:
    """Checks the features and labels of a split before evaluation.

    Features must be [N, F], and labels must be integers [N] in [0, num_classes).

    Args:
        features: Features of the split.
        labels: Labels of the split; None if the data set has no labels.
        num_classes: Number of classes.
        split: Name of the split for error messages, "training" or "test".

    Raises:
        UserError: If labels are missing, empty, not integers or out of range, or if the shapes do
            not match.
    """
    if labels is None:
        raise errors.UserError(
            f"evaluation needs labels, but the {split} split has no labels; evaluate on a data set "
            "with labels, or set evaluate.protocols=()."
        )
    labels = np.asarray(labels)
    if np.ndim(features) != 2 or labels.shape != np.shape(features)[:1]:
        features_shape = list(np.shape(features))
        labels_shape = list(labels.shape)
        raise errors.UserError(
            f"the {split} split must have features [N, F] and labels [N], not {features_shape} and "
            f"{labels_shape}."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise errors.UserError(
            f"the {split} labels must be integers, not {labels.dtype}; convert them."
        )
    if labels.size == 0:
        raise errors.UserError(f"the {split} split is empty; choose a split with examples.")
    smallest = labels.min()
    largest = labels.max()
    if smallest < 0 or largest >= num_classes:
        raise errors.UserError(
            f"the {split} labels must be in [0, {num_classes}), not in [{smallest}, {largest}]; "
            "correct num_classes, or leave out the examples without a label."
        )


def split(
    rng: np.random.Generator, num_examples: int, fraction: float
) -> tuple[np.ndarray, np.ndarray]:
    """Splits example indices at random into a training part and a validation part.

    Args:
        rng: Source of the permutation.
        num_examples: Number of examples, N.
        fraction: Fraction of the examples in the validation part, in (0, 1).

    Returns:
        The example numbers of the training part and of the validation part, int arrays that are
        disjoint and together contain 0 ... N - 1.

    Raises:
        UserError: If the fraction leaves one of the parts empty.
    """
    num_validation = round(fraction * num_examples)
    if not 0 < num_validation < num_examples:
        raise errors.UserError(
            f"validation_fraction {fraction} holds out {num_validation} of {num_examples} training "
            "examples; it must hold out at least one and leave at least one."
        )
    shuffled = rng.permutation(num_examples)
    return shuffled[num_validation:], shuffled[:num_validation]


def order(rng: np.random.Generator, rows: np.ndarray, epochs: int, batch_size: int) -> np.ndarray:
    """Shuffles the examples once per epoch and divides them into one batch per training step.

    Batches may cross the border between two epochs. Examples that do not fill the last batch are
    dropped.

    Args:
        rng: Source of the shuffles.
        rows: Numbers of the examples to train on, int [N].
        epochs: Number of shuffles.
        batch_size: Examples per step; at most N are used.

    Returns:
        Example numbers, int32 [steps, batch].
    """
    batch_size = min(batch_size, len(rows))
    joined = np.concatenate([rng.permutation(rows) for _ in range(epochs)]).astype(np.int32)
    steps = len(joined) // batch_size
    return joined[: steps * batch_size].reshape(steps, batch_size)


def standardize(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardizes features by the mean and the standard deviation of the training features.

    The results are divided by sqrt(F), so that rows have a length of about 1 for any F. A feature
    that is constant on the training split becomes 0.

    Args:
        train: Training features [N, F].
        test: Test features [M, F].

    Returns:
        The standardized training and test features, float32.
    """
    mean = train.mean(axis=0, dtype=np.float64)
    deviation = train.std(axis=0, dtype=np.float64)
    varies = deviation > 1e-6 * deviation.max()
    scale = np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 0.0) / train.shape[1] ** 0.5
    mean = mean.astype(np.float32)
    scale = scale.astype(np.float32)
    return (train - mean) * scale, (test - mean) * scale
