"""Frozen features as numpy arrays: their extraction in batches, and a check at the door."""

from collections.abc import Callable

import jax
import numpy as np

from byol_jax import errors


def extract(
    encode: Callable[[np.ndarray], jax.Array], images: np.ndarray, *, batch_size: int = 500
) -> np.ndarray:
    """Applies `encode` to all `images` [N, ...] in order, on one device: float32 [N, F].

    encode: images [B, ...] -> features [B, F], usually jitted; each row must depend on its own
        image only (batch norm in inference mode). It sees one shape, so it compiles once: the last
        batch is filled up by repeating its last image, and the surplus rows are dropped.
    images: usually uint8 [N, H, W, C], in memory or memory-mapped: only slices are read.

    Raises ValueError when there are no images, batch_size is below 1, or encode does not give one
    row of features per image.
    """
    if len(images) == 0 or batch_size < 1:
        raise errors.UserError(
            f"extract got {len(images)} images and a batch_size of {batch_size}; "
            "both must be 1 or more."
        )
    batch_size = min(batch_size, len(images))
    batches = []
    for start in range(0, len(images), batch_size):
        batch = np.asarray(images[start : start + batch_size])
        fill = batch_size - len(batch)
        padded = np.concatenate([batch, np.repeat(batch[-1:], fill, axis=0)]) if fill else batch
        features = np.asarray(encode(padded), dtype=np.float32)
        if features.ndim != 2 or len(features) != batch_size:
            raise errors.UserError(
                f"encode must give features [{batch_size}, F] for {batch_size} images and gave "
                f"{list(features.shape)}; pool over the spatial axes first."
            )
        batches.append(features[: len(batch)])
    return np.concatenate(batches)


def check(features: np.ndarray, labels: np.ndarray | None, num_classes: int, split: str) -> None:
    """Checks that features are [N, F] and labels int [N] in [0, num_classes).

    Raises ValueError, naming the split ("training" or "test"), when they are not.
    """
    if labels is None:
        raise errors.UserError(
            f"kNN and linear evaluation need labels, and the {split} split has none; evaluate on "
            "a data set with labels, or evaluate with no protocols."
        )
    labels = np.asarray(labels)
    if np.ndim(features) != 2 or labels.shape != np.shape(features)[:1]:
        raise errors.UserError(
            f"the {split} split must have features [N, F] and labels [N], and has "
            f"{list(np.shape(features))} and {list(labels.shape)}."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise errors.UserError(
            f"{split} labels must be integers and are {labels.dtype}; convert them."
        )
    if labels.size == 0 or labels.min() < 0 or labels.max() >= num_classes:
        found = f"in [{labels.min()}, {labels.max()}]" if labels.size else "none"
        raise errors.UserError(
            f"{split} labels must be in [0, {num_classes}) and are {found}; correct num_classes, "
            "or leave out the examples without a label."
        )


def split(
    rng: np.random.Generator, num_examples: int, fraction: float
) -> tuple[np.ndarray, np.ndarray]:
    """The examples to train on and those to choose by: disjoint, together all of them.

    Raises ValueError when the fraction leaves no example on either side.
    """
    num_validation = round(fraction * num_examples)
    if not 0 < num_validation < num_examples:
        raise errors.UserError(
            f"a validation_fraction of {fraction} takes {num_validation} of {num_examples} "
            "training examples; it must take at least one and leave at least one."
        )
    shuffled = rng.permutation(num_examples)
    return shuffled[num_validation:], shuffled[:num_validation]


def order(rng: np.random.Generator, rows: np.ndarray, epochs: int, batch_size: int) -> np.ndarray:
    """Which of `rows` each step takes, int32 [steps, batch]: `epochs` shuffles, joined and cut."""
    batch_size = min(batch_size, len(rows))
    joined = np.concatenate([rng.permutation(rows) for _ in range(epochs)]).astype(np.int32)
    steps = len(joined) // batch_size
    return joined[: steps * batch_size].reshape(steps, batch_size)


def standardize(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both splits, float32, with the mean and deviation of `train`, its rows about 1 long."""
    mean, deviation = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    alive = deviation > 1e-6 * deviation.max()  # a constant feature says nothing: it becomes 0
    scale = np.where(alive, 1.0 / np.where(alive, deviation, 1.0), 0.0) / train.shape[1] ** 0.5
    mean, scale = mean.astype(np.float32), scale.astype(np.float32)
    return (train - mean) * scale, (test - mean) * scale
