"""A convolution that is fast on CPUs, with its gradients.

XLA expresses a gradient as a convolution with an unusual memory layout. On a CPU it transposes the
operands first, with many cache misses; inside a loop it does not transpose them, and the gradient
takes a hundred times as long. Here both gradients use the usual layout, and the kernel gradient is
summed over parts of the batch that fit into the cache. 3x3 convolutions can use Winograd's form. On
other devices XLA's convolutions are used.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from byol_jax import collectives, errors
from byol_jax.networks import winograd

# Numbers in a part of the images, 4 MiB; twice or half as many are slower.
PART = 2**20
# Fewest images in a part. Images take the place of channels, and few channels are slow.
LEAST = 8
# Fewest channels for which Winograd's form is faster forward; its kernel gradient always is.
CHANNELS = 128
FORMS = ("direct", "winograd")
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolve(
    images: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *,
    precision: jax.lax.PrecisionLike = None,
    form: str = "direct",
    lhs_dilation: Sequence[int] = (1, 1),
    rhs_dilation: Sequence[int] = (1, 1),
    feature_group_count: int = 1,
    dimension_numbers: jax.lax.ConvDimensionNumbers | None = None,
) -> jax.Array:
    """Convolves images with a kernel; pass this function to flax's Conv as `conv_general_dilated`.

    Args:
        images: Images [B, H, W, C].
        kernel: Kernel [h, w, C, F].
        strides: Strides of height and width.
        padding: "SAME", "VALID", or pairs of padding for height and width.
        precision: Precision of the products.
        form: How a CPU computes 3x3 convolutions of stride 1 in float32: "direct", or "winograd",
            which is faster and less exact (networks.winograd).
        lhs_dilation: Must be (1, 1).
        rhs_dilation: Must be (1, 1).
        feature_group_count: Must be 1.
        dimension_numbers: Ignored; channels are always last.

    Returns:
        Images [B, H', W', F].

    Raises:
        UserError: There are dilations or groups, or the form is unknown.
    """
    del dimension_numbers
    if feature_group_count != 1 or (*lhs_dilation, *rhs_dilation) != (1, 1, 1, 1):
        dilations = (*lhs_dilation, *rhs_dilation)
        raise errors.UserError(
            f"convolve supports only dilations of 1 and one group, not dilations {dilations} and "
            f"{feature_group_count} groups; use jax.lax.conv_general_dilated instead."
        )
    if form not in FORMS:
        names = ", ".join(FORMS)
        raise errors.UserError(f"unknown form {form!r} of a convolution; choose one of {names}.")
    if isinstance(padding, str):
        sides = images.shape[1:3]
        padding = jax.lax.padtype_to_pads(sides, kernel.shape[:2], strides, padding)
    images, kernel = collectives.vary_alike((images, kernel))
    return _convolve(images, kernel, tuple(strides), tuple(map(tuple, padding)), precision, form)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _convolve(images, kernel, strides, padding, precision, form):
    plain = functools.partial(_plain, strides=strides, padding=padding, precision=precision)
    if form == "direct" or not winograd.suits(images, kernel, strides, padding):
        return plain(images, kernel)
    on_cpu = functools.partial(_winograd, plain=plain, precision=precision)
    return jax.lax.platform_dependent(images, kernel, cpu=on_cpu, default=plain)


def _winograd(images, kernel, *, plain, precision):
    """Convolves in Winograd's form, in parts of the batch that fit into the cache."""
    if images.shape[-1] < CHANNELS:
        return plain(images, kernel)

    def one_part(part):
        return winograd.convolve(part, kernel, precision)

    parts = jax.lax.map(one_part, _split(images, _part_size(images)))
    return parts.reshape(-1, *parts.shape[2:])[: len(images)]


def _plain(images, kernel, strides, padding, **options):
    return jax.lax.conv_general_dilated(
        images, kernel, strides, padding, dimension_numbers=_LAYOUT, **options
    )


def _forward(images, kernel, strides, padding, precision, form):
    return _convolve(images, kernel, strides, padding, precision, form), (images, kernel)


def _backward(strides, padding, precision, form, operands, cotangent):
    settings = {"strides": strides, "padding": padding, "precision": precision}

    def by_xla(images, kernel, cotangent):
        _, pullback = jax.vjp(functools.partial(_plain, **settings), images, kernel)
        return pullback(cotangent)

    def on_cpu(images, kernel, cotangent):
        if form == "winograd" and winograd.suits(images, kernel, strides, padding):
            rotated = jnp.swapaxes(kernel[::-1, ::-1], 2, 3)
            plain = functools.partial(_plain, **settings)
            return (
                _winograd(cotangent, rotated, plain=plain, precision=precision),
                _winograd_kernel_gradient(images, kernel, cotangent, precision),
            )
        kernel_gradient = _kernel_gradient(images, kernel, cotangent, **settings)
        return _image_gradient(images, kernel, cotangent, **settings), kernel_gradient

    return jax.lax.platform_dependent(*operands, cotangent, cpu=on_cpu, default=by_xla)


_convolve.defvjp(_forward, _backward)


def _image_gradient(images, kernel, cotangent, *, strides, padding, precision):
    """Computes the gradient of the images by one convolution per pixel offset within a stride.

    A phase consists of every stride-th row and column of the images. Its gradient is the
    convolution of the cotangent with the rotated kernel, restricted to the taps that reach the
    phase.
    """
    batch, height, width, channels = images.shape
    sides = (height, width)
    sizes = [-(-side // stride) for side, stride in zip(sides, strides, strict=True)]

    def phase_gradient(*phase):
        window = []
        pads = []
        for d in range(2):
            first = (phase[d] + padding[d][0]) % strides[d]
            taps = slice(first, None, strides[d])
            count = len(range(*taps.indices(kernel.shape[d])))
            offset = (phase[d] + padding[d][0]) // strides[d]
            window.append(taps)
            pads.append((count - 1 - offset, sizes[d] + offset - cotangent.shape[1 + d]))
            if not count:
                return jnp.zeros((batch, *sizes, channels), cotangent.dtype)
        rotated = jnp.swapaxes(kernel[*window][::-1, ::-1], 2, 3)
        return _plain(cotangent, rotated, (1, 1), pads, precision=precision)

    rows = [
        jnp.stack([phase_gradient(p, q) for q in range(strides[1])], 3) for p in range(strides[0])
    ]
    phases = jnp.stack(rows, 2)  # [B, H / stride, stride, W / stride, stride, C]
    padded = phases.reshape(batch, sizes[0] * strides[0], sizes[1] * strides[1], channels)
    return padded[:, :height, :width]


def _kernel_gradient(images, kernel, cotangent, *, strides, padding, precision):
    """Computes the gradient with respect to the kernel: a convolution that sums over images."""
    used = [
        length + (out - 1) * stride - low
        for length, out, stride, (low, _) in zip(
            kernel.shape[:2], cotangent.shape[1:3], strides, padding, strict=True
        )
    ]
    images = images[:, : used[0], : used[1]]  # the last rows and columns may not be reached
    pads = [
        (low, n - side) for n, side, (low, _) in zip(used, images.shape[1:3], padding, strict=True)
    ]

    def add(total, part):
        image_part, cotangent_part = part
        channels = image_part.transpose(3, 1, 2, 0)
        window = cotangent_part.transpose(1, 2, 0, 3)
        gradient = _plain(channels, window, (1, 1), pads, rhs_dilation=strides, precision=precision)
        return total + gradient.astype(total.dtype), None

    total = jnp.zeros((kernel.shape[2], *kernel.shape[:2], kernel.shape[3]), jnp.float32)
    return _sum_parts(add, total, images, cotangent).transpose(1, 2, 0, 3).astype(kernel.dtype)


def _winograd_kernel_gradient(images, kernel, cotangent, precision):
    def add(total, part):
        image_part, cotangent_part = part
        gradient = winograd.kernel_gradient(image_part, cotangent_part, precision)
        return total + gradient.astype(total.dtype), None

    total = jnp.zeros(kernel.shape, jnp.float32)
    return _sum_parts(add, total, images, cotangent).astype(kernel.dtype)


def _sum_parts(add, total, images, cotangent):
    """Adds the contributions of the parts of a batch to a float32 array."""
    total, _ = collectives.vary_alike((total, cotangent))
    size = _part_size(images)
    total, _ = jax.lax.scan(add, total, (_split(images, size), _split(cotangent, size)))
    return total


def _part_size(images):
    return min(max(PART // images[0].size, LEAST), len(images))


def _split(x, size):
    """Splits [B, ...] into [parts, size, ...]; pads with zeros, which do not change a sum."""
    missing = -len(x) % size
    if missing:
        x = jnp.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1))
    return x.reshape(-1, size, *x.shape[1:])
