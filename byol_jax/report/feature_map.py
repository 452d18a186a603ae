"""The map of features: where each picture lies in the plane, and its nearest neighbours."""

import numpy as np

from byol_jax import errors

NEIGHBOURS = 12


def plane(features) -> tuple[np.ndarray, float]:
    """The two directions of most variance, [N, 2], and the share of the variance they show."""
    centred = features - features.mean(axis=0, keepdims=True)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    total = float(np.sum(singular**2)) or 1.0
    plane = np.zeros((len(features), 2), np.float32)
    count = min(2, len(singular))
    plane[:, :count] = left[:, :count] * singular[:count]
    return plane, float(np.sum(singular[:2] ** 2)) / total


def umap_plane(features) -> np.ndarray:
    """Features [N, F] as UMAP lays them out in the plane, [N, 2]; needs the extra `umap`."""
    try:
        import umap
    except ImportError as error:
        raise errors.missing_extra("umap", "--umap needs umap-learn") from error
    return umap.UMAP(n_components=2, metric="cosine", random_state=0).fit_transform(features)


def nearest(features) -> tuple[np.ndarray, np.ndarray]:
    """The nearest others of each by cosine, [N, k], nearest first, and their cosines."""
    norms = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    cosines = (features / norms) @ (features / norms).T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1)[:, : min(NEIGHBOURS, len(features) - 1)]
    return order, np.take_along_axis(cosines, order, axis=1)
