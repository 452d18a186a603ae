"""The feature map: the position of each image in the plane, and its nearest neighbours."""

import numpy as np

from byol_jax import errors

NEIGHBOURS = 12


def plane(features: np.ndarray) -> tuple[np.ndarray, float]:
    """Projects features onto their first two principal components (PCA).

    Args:
        features: Array [N, F].

    Returns:
        Positions, float32 [N, 2], and the share of the variance that they explain, in [0, 1].
    """
    centred = features - features.mean(axis=0, keepdims=True)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    total = float(np.sum(singular**2)) or 1.0
    positions = np.zeros((len(features), 2), np.float32)
    count = min(2, len(singular))
    positions[:, :count] = left[:, :count] * singular[:count]
    return positions, float(np.sum(singular[:2] ** 2)) / total


def umap_plane(features: np.ndarray) -> np.ndarray:
    """Lays out features in the plane by UMAP, with the cosine distance and a fixed seed.

    Args:
        features: Array [N, F].

    Returns:
        Positions [N, 2].

    Raises:
        ImportError: If umap-learn, the extra `umap`, is not installed.
    """
    try:
        import umap  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise errors.missing_extra("umap", "--umap needs umap-learn") from error
    return umap.UMAP(n_components=2, metric="cosine", random_state=0).fit_transform(features)


def nearest(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest neighbours of each feature vector by cosine similarity.

    Args:
        features: Array [N, F].

    Returns:
        Indices of the neighbours, int [N, k], the nearest first and without the vector itself, and
        their cosine similarities [N, k]. k is NEIGHBOURS, or N - 1 if that is less.
    """
    norms = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    cosines = (features / norms) @ (features / norms).T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1)[:, : min(NEIGHBOURS, len(features) - 1)]
    return order, np.take_along_axis(cosines, order, axis=1)
