"""A convolution whose gradients XLA:CPU computes as fast as the convolution itself.

XLA makes a gradient a convolution of unusual layout. On a CPU it then transposes the operands, and
computes them anew meanwhile, all that can be fused, along strides that miss every cache; within a
loop it does not even transpose, and takes a hundred times as long. Here both gradients come in the
usual layout, and the kernel's in parts of the batch that fit the cache. Elsewhere XLA has its way.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from byol_jax import errors

PART = 2**20  # numbers of the images that are taken at a time, 4 MiB: twice and half are slower
LEAST = 8  # images; they stand where channels do, and few of these are slow
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolve(
    images: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *,
    precision: jax.lax.PrecisionLike = None,
    lhs_dilation: Sequence[int] = (1, 1),
    rhs_dilation: Sequence[int] = (1, 1),
    feature_group_count: int = 1,
    dimension_numbers: jax.lax.ConvDimensionNumbers | None = None,
) -> jax.Array:
    """Images [B, H, W, C] and a kernel [h, w, C, F] to [B, H', W', F]; for flax's Conv.

    The arguments are those that it passes. Raises ValueError for dilations and groups.
    """
    del dimension_numbers  # of images with channels last, always
    if feature_group_count != 1 or (*lhs_dilation, *rhs_dilation) != (1, 1, 1, 1):
        raise errors.UserError(
            f"convolve has no dilations {(*lhs_dilation, *rhs_dilation)} and no groups "
            f"({feature_group_count}); use jax.lax.conv_general_dilated for these."
        )
    sides, window = images.shape[1:3], kernel.shape[:2]
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads(sides, window, strides, padding)
    return _convolve(images, kernel, tuple(strides), tuple(map(tuple, padding)), precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _convolve(images, kernel, strides, padding, precision):
    return _plain(images, kernel, strides, padding, precision=precision)


def _plain(images, kernel, strides, padding, **options):
    return jax.lax.conv_general_dilated(
        images, kernel, strides, padding, dimension_numbers=_LAYOUT, **options
    )


def _forward(images, kernel, strides, padding, precision):
    return _convolve(images, kernel, strides, padding, precision), (images, kernel)


def _backward(strides, padding, precision, operands, cotangent):
    how = {"strides": strides, "padding": padding, "precision": precision}

    def by_xla(images, kernel, cotangent):
        return jax.vjp(lambda *each: _plain(*each, **how), images, kernel)[1](cotangent)

    def by_parts(images, kernel, cotangent):
        of_kernel = _kernel_gradient(images, kernel, cotangent, **how)
        return _image_gradient(images, kernel, cotangent, **how), of_kernel

    return jax.lax.platform_dependent(*operands, cotangent, cpu=by_parts, default=by_xla)


_convolve.defvjp(_forward, _backward)


def _image_gradient(images, kernel, cotangent, *, strides, padding, precision):
    """The convolution of the cotangent with the turned kernel: of the taps that meet a phase.

    A phase is every stride-th row and column of the images, from the same first one.
    """
    batch, sides, channels = len(images), images.shape[1:3], images.shape[3]
    sizes = [-(-side // stride) for side, stride in zip(sides, strides, strict=True)]

    def of_phase(*phase):
        window, pads = [], []
        for d in range(2):
            first = (phase[d] + padding[d][0]) % strides[d]
            taps = slice(first, None, strides[d])
            count = len(range(*taps.indices(kernel.shape[d])))
            ahead = (phase[d] + padding[d][0]) // strides[d]
            window.append(taps)
            pads.append((count - 1 - ahead, sizes[d] + ahead - cotangent.shape[1 + d]))
            if not count:
                return jnp.zeros((batch, *sizes, channels), cotangent.dtype)
        turned = jnp.swapaxes(kernel[*window][::-1, ::-1], 2, 3)
        return _plain(cotangent, turned, (1, 1), pads, precision=precision)

    rows = [jnp.stack([of_phase(p, q) for q in range(strides[1])], 3) for p in range(strides[0])]
    whole = jnp.stack(rows, 2)  # [B, H / strides, stride, W / stride, stride, C]
    whole = whole.reshape(batch, sizes[0] * strides[0], sizes[1] * strides[1], channels)
    return whole[:, : sides[0], : sides[1]]


def _kernel_gradient(images, kernel, cotangent, *, strides, padding, precision):
    """The convolution of channels as if they were images with the cotangent as their kernel."""
    used = [
        length + (out - 1) * stride - low
        for length, out, stride, (low, _) in zip(
            kernel.shape[:2], cotangent.shape[1:3], strides, padding, strict=True
        )
    ]
    images = images[:, : used[0], : used[1]]  # a stride may leave out the last
    pads = [
        (low, n - side) for n, side, (low, _) in zip(used, images.shape[1:3], padding, strict=True)
    ]

    def add(total, part):
        some, cotangents = part
        channels, window = some.transpose(3, 1, 2, 0), cotangents.transpose(1, 2, 0, 3)
        found = _plain(channels, window, (1, 1), pads, rhs_dilation=strides, precision=precision)
        return total + found.astype(total.dtype), None

    total = jnp.zeros((kernel.shape[2], *kernel.shape[:2], kernel.shape[3]), jnp.float32)
    size = min(max(PART // images[0].size, LEAST), len(images))
    total, _ = jax.lax.scan(add, total, (_parts(images, size), _parts(cotangent, size)))
    return total.transpose(1, 2, 0, 3).astype(kernel.dtype)


def _parts(x, size):
    """[B, ...] as [parts, size, ...], with zeros at the end, which add nothing to a sum."""
    missing = -len(x) % size
    if missing:
        x = jnp.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1))
    return x.reshape(-1, size, *x.shape[1:])
