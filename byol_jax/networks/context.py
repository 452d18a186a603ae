"""What CPC sums up of the rows above: convolutions that never look down."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from byol_jax.networks import convolution, network


class RowContext(nn.Module):
    """Grids [B, G, G, F] to [B, G, G, width]; a row sees itself and rows above; see row_context."""

    width: int
    layers: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        del train  # nothing here is normalized by the batch
        x = nn.Dense(self.width, dtype=self.dtype, name="dense")(x.astype(self.dtype))
        for i in range(self.layers):
            y = nn.Conv(
                self.width,
                (2, 3),
                padding=((1, 0), (1, 1)),  # the row above and this one; a column to each side
                dtype=self.dtype,
                conv_general_dilated=convolution.convolve,
                name=f"conv{i + 1}",
            )(nn.relu(x))
            x = x + y
        return x.astype(jnp.float32)


def row_context(width: int, *, layers: int = 3, dtype: str = "float32") -> network.Network:
    """The context network of CPC: `layers` residual convolutions, each one row further up."""
    return network.from_linen(RowContext(width, layers, jnp.dtype(dtype)))
