"""Projectors and predictors: small multilayer perceptrons on the features."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from byol_jax import errors
from byol_jax.networks import network, norm

KERNEL_INITS = {
    "lecun": nn.initializers.lecun_normal(),
    "torch": nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
}

LAST_NORMS = {  # what they learn: a scale, a bias
    "scale": (True, False),
    "affine": (True, True),
    "plain": (False, False),
}


class Mlp(nn.Module):
    """Dense layers with ReLU between them; see `mlp` for the arguments."""

    widths: tuple[int, ...]
    batch_norm: Callable | None
    hidden_bias: bool
    last_bias: bool
    last_norm: Callable | None
    kernel_init: nn.initializers.Initializer
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = x.astype(self.dtype)
        for i, width in enumerate(self.widths, start=1):
            is_last = i == len(self.widths)
            bias = self.last_bias if is_last else self.hidden_bias
            x = nn.Dense(
                width,
                use_bias=bias,
                kernel_init=self.kernel_init,
                dtype=self.dtype,
                name=f"dense{i}",
            )(x)
            batch_norm = self.last_norm if is_last else self.batch_norm
            if batch_norm is not None:
                x = batch_norm(name=f"bn{i}")(x, train=train)
            if not is_last:
                x = nn.relu(x)
        return x.astype(jnp.float32)


def mlp(
    widths: tuple[int, ...],
    *,
    batch_norm: Callable | None = norm.BatchNorm,
    hidden_bias: bool = True,
    last_bias: bool = True,
    last_norm: str | None = None,
    kernel_init: str | float = "lecun",
    dtype: str = "float32",
) -> network.Network:
    """A head [B, F] -> [B, widths[-1]] with one dense layer per width; one width is a linear map.

    batch_norm normalizes the hidden layers (None: not at all). last_norm: None, "scale" (SimCLR's
    code), "affine", or "plain" (MoCo v3) normalizes the output by batch_norm. kernel_init: "lecun"
    (Haiku's default: BYOL), "torch" (PyTorch's default: MoCo, InstDisc), or the deviation of a
    normal (SimCLR: 0.01).

    Raises ValueError for no or empty widths, and for an unknown kernel_init or last_norm.
    """
    if not widths or min(widths) < 1:
        raise errors.UserError(f"widths {tuple(widths)} must be one or more numbers from 1.")
    last = None if last_norm is None else _last_norm(last_norm, batch_norm or norm.BatchNorm)
    init = _kernel_init(kernel_init)
    module = Mlp(tuple(widths), batch_norm, hidden_bias, last_bias, last, init, jnp.dtype(dtype))
    return network.from_linen(module)


def _last_norm(kind: str, batch_norm: Callable) -> Callable:
    if kind not in LAST_NORMS:
        raise errors.UserError(
            f"unknown last_norm {kind!r}; choose {', '.join(LAST_NORMS)}, or None."
        )
    use_scale, use_bias = LAST_NORMS[kind]
    return functools.partial(batch_norm, use_scale=use_scale, use_bias=use_bias)


def _kernel_init(kind: str | float) -> nn.initializers.Initializer:
    if isinstance(kind, float):
        return nn.initializers.normal(kind)
    if kind not in KERNEL_INITS:
        raise errors.UserError(
            f"unknown kernel_init {kind!r}; choose {', '.join(KERNEL_INITS)}, or a deviation."
        )
    return KERNEL_INITS[kind]
