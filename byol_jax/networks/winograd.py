"""Winograd's convolution F(4x4, 3x3): a quarter of the multiplications, as matrix products.

A tile of 4 x 4 results depends on 6 x 6 pixels. The pixels and the kernel are transformed to 6 x 6
numbers each. The product of corresponding numbers, summed over the channels, is the transform of
the results. Source: Lavin and Gray 2015, arXiv 1509.09308, with the points 0, 1, -1, 2, -2 and
infinity. The results have errors of 1e-5 to 1e-4 of their standard deviation, because the
transforms subtract large numbers; a direct convolution has about 1e-6.
"""

import jax
import jax.numpy as jnp
import numpy as np

_TILE = 4  # side of the results of a tile
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0)
_SIDE = 6  # of the pixels of a tile: _TILE + 2


def _transforms() -> list[np.ndarray]:
    """Returns the transforms of pixels [36, 36], kernels [36, 9] and results [16, 36].

    For one axis, kernels and results evaluate a polynomial at the points, and pixels interpolate
    (Toom and Cook). The last point is infinity.
    """
    points = np.array(_POINTS)
    others = [np.delete(points, i) for i in range(len(points))]
    kernel = [x ** np.arange(3) / np.prod(x - y) for x, y in zip(points, others, strict=True)]
    kernel.append(np.array([0.0, 0.0, 1.0]))
    results = [[*points**i, float(i == _TILE - 1)] for i in range(_TILE)]
    pixels = [[*np.poly(y)[::-1], 0.0] for y in others] + [np.poly(points)[::-1]]
    return [np.kron(m, m).astype(np.float32) for m in (pixels, kernel, results)]


_PIXELS, _KERNEL, _RESULTS = _transforms()


def suits(images: jax.Array, kernel: jax.Array, strides: object, padding: object) -> bool:
    """Tells whether this form can compute a convolution.

    Args:
        images: Images [B, H, W, C].
        kernel: Kernel [h, w, C, F].
        strides: Strides of height and width.
        padding: Pairs of padding for height and width.

    Returns:
        True for float32, 3x3 kernels, stride 1, padding 1 and sides that are multiples of 4.
        Shorter types would lose most of their digits.
    """
    sides = (images.shape[1] % _TILE, images.shape[2] % _TILE)
    geometry = (kernel.shape[:2], strides, padding, sides)
    suits_geometry = geometry == ((3, 3), (1, 1), ((1, 1), (1, 1)), (0, 0))
    return suits_geometry and images.dtype == jnp.float32


def convolve(images: jax.Array, kernel: jax.Array, precision: jax.lax.PrecisionLike) -> jax.Array:
    """Convolves images with a 3x3 kernel, with padding 1.

    Args:
        images: Images [B, H, W, C]; H and W are multiples of 4.
        kernel: Kernel [3, 3, C, F].
        precision: Precision of the products.

    Returns:
        Images [B, H, W, F].
    """
    batch, height, width, _ = images.shape
    features = kernel.shape[-1]
    kernels = _apply(_KERNEL, kernel.reshape(9, -1, features), precision)
    products = jnp.matmul(_pixels(images, precision), kernels, precision=precision)
    results = _apply(_RESULTS, products, precision)
    tiles = results.reshape(_TILE, _TILE, batch, height // _TILE, width // _TILE, features)
    return tiles.transpose(2, 3, 0, 4, 1, 5).reshape(batch, height, width, features)


def kernel_gradient(
    images: jax.Array, cotangent: jax.Array, precision: jax.lax.PrecisionLike
) -> jax.Array:
    """Computes the gradient of the kernel.

    Args:
        images: Images [B, H, W, C]; H and W are multiples of 4.
        cotangent: Gradient of the results, [B, H, W, F].
        precision: Precision of the products.

    Returns:
        Gradient [3, 3, C, F].
    """
    batch, height, width, features = cotangent.shape
    tiles = cotangent.reshape(batch, height // _TILE, _TILE, width // _TILE, _TILE, features)
    tiles = tiles.transpose(2, 4, 0, 1, 3, 5).reshape(_TILE**2, -1, features)
    products = jnp.einsum(
        "ptc,ptf->pcf",
        _pixels(images, precision),
        _apply(_RESULTS.T, tiles, precision),
        precision=precision,
    )
    return _apply(_KERNEL.T, products, precision).reshape(3, 3, -1, features)


def _pixels(images, precision):
    """Cuts images into overlapping tiles, and returns their transform [36, tiles, C]."""
    _, height, width, channels = images.shape
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = [slice(i, i + height - _TILE + 1, _TILE) for i in range(_SIDE)]
    columns = [slice(j, j + width - _TILE + 1, _TILE) for j in range(_SIDE)]
    tiles = jnp.stack([padded[:, row, column] for row in rows for column in columns])
    return _apply(_PIXELS, tiles.reshape(_SIDE**2, -1, channels), precision)


def _apply(transform, x, precision):
    """Multiplies a transform [m, n] by x [n, ...]."""
    flat = x.reshape(len(x), -1)
    product = jnp.matmul(jnp.asarray(transform, x.dtype), flat, precision=precision)
    return product.reshape(-1, *x.shape[1:])
