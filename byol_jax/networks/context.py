"""The context network of CPC: convolutions that read a row of patches and the rows above it."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from byol_jax import pickling
from byol_jax.networks import convolution, network


class RowContext(nn.Module):
    """The flax module of `row_context`.

    Attributes:
        width: Number of output channels.
        layers: Number of residual convolutions.
        dtype: Type in which the network computes.
    """

    width: int
    layers: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Computes a context vector for every position in a grid of patch features.

        Args:
            x: Features [B, G, G, F].
            train: True normalizes by the batch, False by the running statistics.

        Returns:
            Contexts [B, G, G, width], float32.
        """
        del train  # there is no batch norm
        x = nn.Dense(self.width, dtype=self.dtype, name="dense")(x.astype(self.dtype))
        for i in range(self.layers):
            y = nn.Conv(
                self.width,
                (2, 3),
                padding=((1, 0), (1, 1)),  # the previous row and this row; one column on each side
                dtype=self.dtype,
                conv_general_dilated=convolution.convolve,
                name=f"conv{i + 1}",
            )(nn.relu(x))
            x = x + y
        return x.astype(jnp.float32)


@pickling.picklable
def row_context(width: int, *, layers: int = 3, dtype: str = "float32") -> network.Network:
    """Creates the context network of CPC, which maps grids [B, G, G, F] to [B, G, G, width].

    The output of a row depends on the same row and the rows above it. Each layer is a residual
    convolution that reads one more row.

    Args:
        width: Number of output channels.
        layers: Number of residual convolutions.
        dtype: Type in which the network computes: "float32" or "bfloat16".

    Returns:
        The network; its outputs are float32.
    """
    return network.from_linen(RowContext(width, layers, jnp.dtype(dtype)))
