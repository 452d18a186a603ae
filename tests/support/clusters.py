"""Features of three classes, well separated (TIDY) and overlapping (NOISY).

Each constant is (training features, their labels, test features, their labels).
"""

import numpy as np

CLASSES = 3


def _clusters(seed, num, noise):
    """Returns features [num, 5], scattered around one direction per class, and the labels [num]."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % CLASSES
    return np.float32(np.eye(CLASSES, 5)[labels] + noise * rng.normal(size=(num, 5))), labels


TIDY = (*_clusters(0, 60, 0.05), *_clusters(1, 30, 0.05))
NOISY = (*_clusters(0, 120, 0.7), *_clusters(1, 60, 0.7))
