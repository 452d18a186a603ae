"""Projectors and predictors: multilayer perceptrons on features."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from byol_jax import errors, pickling
from byol_jax.networks import network, norm

KERNEL_INITS = {
    "lecun": nn.initializers.lecun_normal(),
    "torch": nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
}

LAST_NORMS = {  # whether the normalization learns a scale, and a bias
    "scale": (True, False),
    "affine": (True, True),
    "plain": (False, False),
}


class Mlp(nn.Module):
    """The flax module of `mlp`.

    Attributes:
        widths: Width of each dense layer.
        batch_norm: Creates the normalization of the hidden layers; None for none.
        hidden_bias: Hidden layers have a bias.
        last_bias: The last layer has a bias.
        last_norm: Creates the normalization of the outputs; None for none.
        kernel_init: Initializer of the kernels.
        dtype: Type in which the network computes.
    """

    widths: tuple[int, ...]
    batch_norm: norm.MakeNorm | None
    hidden_bias: bool
    last_bias: bool
    last_norm: norm.MakeNorm | None
    kernel_init: nn.initializers.Initializer
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Computes the outputs of the head.

        Args:
            x: Features [B, F].
            train: True normalizes by the batch, False by the running statistics.

        Returns:
            Outputs [B, widths[-1]], float32.
        """
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


@pickling.picklable
def mlp(
    widths: tuple[int, ...],
    *,
    batch_norm: norm.MakeNorm | None = norm.BatchNorm,
    hidden_bias: bool = True,
    last_bias: bool = True,
    last_norm: str | None = None,
    kernel_init: str | float = "lecun",
    dtype: str = "float32",
) -> network.Network:
    """Creates a head: dense layers with ReLU between them, from [B, F] to [B, widths[-1]].

    Args:
        widths: Width of each layer; a single width is a linear map.
        batch_norm: Creates the normalization of the hidden layers; None for no normalization.
        hidden_bias: True gives hidden layers a bias.
        last_bias: True gives the last layer a bias.
        last_norm: Normalization of the outputs: None, "scale" (SimCLR's code), "affine", or "plain"
            without parameters (MoCo v3).
        kernel_init: "lecun" (Haiku's default: BYOL), "torch" (PyTorch's default: MoCo, InstDisc),
            or the standard deviation of a normal distribution (SimCLR: 0.01).
        dtype: Type in which the network computes: "float32" or "bfloat16".

    Returns:
        The network; its outputs are float32.

    Raises:
        UserError: A width is below 1, there are no widths, or a kernel_init or last_norm is
            unknown.
    """
    if not widths or min(widths) < 1:
        raise errors.UserError(
            f"widths must be one or more integers of at least 1, not {tuple(widths)}."
        )
    module = Mlp(
        widths=tuple(widths),
        batch_norm=batch_norm,
        hidden_bias=hidden_bias,
        last_bias=last_bias,
        last_norm=_last_norm(last_norm, batch_norm or norm.BatchNorm),
        kernel_init=_kernel_init(kernel_init),
        dtype=jnp.dtype(dtype),
    )
    return network.from_linen(module)


def _last_norm(kind: str | None, batch_norm: norm.MakeNorm) -> norm.MakeNorm | None:
    if kind is None:
        return None
    if kind not in LAST_NORMS:
        names = ", ".join(LAST_NORMS)
        raise errors.UserError(f"unknown last_norm {kind!r}; choose {names}, or None.")
    use_scale, use_bias = LAST_NORMS[kind]
    return functools.partial(batch_norm, use_scale=use_scale, use_bias=use_bias)


def _kernel_init(kind: str | float) -> nn.initializers.Initializer:
    if isinstance(kind, float):
        return nn.initializers.normal(kind)
    if kind not in KERNEL_INITS:
        names = ", ".join(KERNEL_INITS)
        raise errors.UserError(
            f"unknown kernel_init {kind!r}; choose {names}, or a standard deviation."
        )
    return KERNEL_INITS[kind]
