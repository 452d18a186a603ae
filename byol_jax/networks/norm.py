"""Normalization layers: batch norm, synchronized or in groups, and layer norm."""

from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from byol_jax import collectives, errors


class MakeNorm(Protocol):
    """A function that creates a normalization layer, such as BatchNorm or a partial of it."""

    def __call__(
        self,
        *,
        use_scale: bool = True,
        use_bias: bool = True,
        scale_init: nn.initializers.Initializer = nn.initializers.ones,
        name: str | None = None,
    ) -> Any:
        """Creates a layer, which is called as layer(x, train=bool).

        Args:
            use_scale: Learn a scale per channel.
            use_bias: Learn a bias per channel.
            scale_init: Initializer of the scale.
            name: Name of the flax module.

        Returns:
            A flax module.
        """
        ...


class BatchNorm(nn.Module):
    """Batch norm: normalizes [B, ..., C] by the mean and the variance of each channel.

    Attributes:
        axis_name: Name of the mapped device axis over which the statistics are averaged; None uses
            the batch of each device separately. The default, "", means None on one device; inside
            the axis of `train_step.parallel`, it raises UserError, so that nobody forgets the name.
        groups: Number of consecutive parts into which a device's batch is split; each part is
            normalized separately. With MoCo's shuffle, a device with groups behaves like several
            devices (He et al. 2020, section 3.3).
        decay: Weight of the old running statistics, in [0, 1]; all papers here use 0.9.
        eps: Added to the variance.
        use_scale: Learn a scale per channel.
        use_bias: Learn a bias per channel.
        scale_init: Initializer of the scale.
        unbiased: Multiply the variance in the running statistics by n / (n - 1), as PyTorch does.
    """

    axis_name: collectives.AxisName = ""
    groups: int = 1
    decay: float = 0.9
    eps: float = 1e-5
    use_scale: bool = True
    use_bias: bool = True
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    unbiased: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Normalizes a batch.

        Args:
            x: Batch [B, ..., C].
            train: True normalizes by the batch, False by the running statistics.

        Returns:
            The normalized batch, of the shape and dtype of x.
        """
        channels = (x.shape[-1],)
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        var = self.variable("batch_stats", "var", jnp.ones, channels)
        scale = self.param("scale", self.scale_init, channels) if self.use_scale else jnp.ones(())
        bias = self.param("bias", nn.initializers.zeros, channels) if self.use_bias else None
        if not train:
            return _affine(x, mean.value, var.value, scale, bias, self.eps)
        split = _split(x, self.groups)  # [G, B / G, ..., C]
        batch_mean, batch_var = self._moments(split)  # [G, C] each
        if not self.is_initializing():
            count = split[0, ..., 0].size * collectives.axis_size(self._chosen_axis())
            running_var = batch_var * (count / (count - 1)) if self.unbiased else batch_var
            mean.value = self._running(mean.value, batch_mean)
            var.value = self._running(var.value, running_var)
        shape = (self.groups,) + (1,) * (x.ndim - 1) + channels
        batch_mean = batch_mean.reshape(shape)
        batch_var = batch_var.reshape(shape)
        return _affine(split, batch_mean, batch_var, scale, bias, self.eps).reshape(x.shape)

    def _moments(self, split: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the mean and the variance of each group, [G, C] float32."""
        axes = tuple(range(1, split.ndim - 1))
        x = split.astype(jnp.float32)
        if split.dtype == jnp.bfloat16:
            # One pass over the data: float32 sums are exact enough for the digits of bfloat16.
            moments = jnp.stack([jnp.mean(x, axes), jnp.mean(x * x, axes)])
            mean, mean_square = self._average(moments)
            return mean, jnp.maximum(mean_square - mean * mean, 0.0)  # rounding may give below 0
        mean = self._average(jnp.mean(x, axes))
        centered = x - mean.reshape(self.groups, *(1,) * len(axes), -1)
        return mean, self._average(jnp.mean(centered * centered, axes))

    def _average(self, moments: jax.Array) -> jax.Array:
        """Averages moments over the devices, and names the result so that remat can save it."""
        return checkpoint_name(collectives.pmean(moments, self._chosen_axis()), "moments")

    def _chosen_axis(self) -> collectives.AxisName:
        if self.axis_name != "":
            return self.axis_name
        if collectives.is_mapped(collectives.AXIS):
            raise errors.UserError(
                f"BatchNorm runs on several devices, but has no axis_name; pass "
                f"axis_name={collectives.AXIS!r} to normalize over all devices, or axis_name=None "
                "to normalize each device's batch separately."
            )
        return None

    def _running(self, old: jax.Array, batch: jax.Array) -> jax.Array:
        return self.decay * old + (1.0 - self.decay) * jnp.mean(batch, axis=0)


class LayerNorm(nn.Module):
    """Layer norm: normalizes [B, ..., C] over the channels of each position.

    It replaces batch norm in methods whose networks must not see other examples, such as CPC.

    Attributes:
        eps: Added to the variance.
        use_scale: Learn a scale per channel.
        use_bias: Learn a bias per channel.
        scale_init: Initializer of the scale.
    """

    eps: float = 1e-5
    use_scale: bool = True
    use_bias: bool = True
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Normalizes a batch.

        Args:
            x: Batch [B, ..., C].
            train: True normalizes by the batch, False by the running statistics.

        Returns:
            The normalized batch, of the shape and dtype of x.
        """
        del train
        norm = nn.LayerNorm(
            epsilon=self.eps,
            use_bias=self.use_bias,
            use_scale=self.use_scale,
            scale_init=self.scale_init,
            name="layer_norm",
        )
        return norm(x.astype(jnp.float32)).astype(x.dtype)


NORMS = {"batch": BatchNorm, "layer": LayerNorm}


def _split(x: jax.Array, groups: int) -> jax.Array:
    if x.shape[0] % groups:
        raise errors.UserError(
            f"{x.shape[0]} examples on a device do not divide into {groups} batch norm groups; "
            f"choose a batch_size that is a multiple of devices * microbatches * {groups}."
        )
    return x.reshape(groups, x.shape[0] // groups, *x.shape[1:])


def _affine(x, mean, var, scale, bias, eps) -> jax.Array:
    factor = jax.lax.rsqrt(var + eps) * scale.reshape((1,) * (var.ndim - scale.ndim) + scale.shape)
    offset = -mean * factor
    if bias is not None:
        offset = offset + bias.reshape((1,) * (var.ndim - 1) + bias.shape)
    pad = (1,) * (x.ndim - factor.ndim)
    factor = factor.reshape(pad + factor.shape)
    offset = offset.reshape(pad + offset.shape)
    return (x.astype(jnp.float32) * factor + offset).astype(x.dtype)  # rounds to bfloat16 once
