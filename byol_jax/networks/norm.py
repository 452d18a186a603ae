"""Normalization: by the batch of all devices, of one, or of groups on one; or by the channels."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from byol_jax import collectives, errors


class BatchNorm(nn.Module):
    """Normalizes x [B, ..., C] by the mean and variance of each channel.

    axis_name: synchronise over these devices; None normalizes each device by itself.
    groups: split a device's batch into so many consecutive parts, each normalized by itself; with
        MoCo's shuffle one device then stands for several (He et al. 2020, section 3.3).
    decay: how much of the old running statistics stays; every paper here uses 0.9.
    unbiased: keep n / (n - 1) times the variance in the running statistics, as PyTorch does.
    """

    axis_name: str | None = None
    groups: int = 1
    decay: float = 0.9
    eps: float = 1e-5
    use_scale: bool = True
    use_bias: bool = True
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    unbiased: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
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
            count = split[0, ..., 0].size * collectives.axis_size(self.axis_name)
            seen = batch_var * (count / (count - 1)) if self.unbiased else batch_var
            mean.value = self._running(mean.value, batch_mean)
            var.value = self._running(var.value, seen)
        shape = (self.groups,) + (1,) * (x.ndim - 1) + channels
        batch_mean, batch_var = batch_mean.reshape(shape), batch_var.reshape(shape)
        return _affine(split, batch_mean, batch_var, scale, bias, self.eps).reshape(x.shape)

    def _moments(self, split: jax.Array) -> tuple[jax.Array, jax.Array]:
        """In float32: of bfloat16 numbers in one pass, of float32, which have the digits, in two."""
        axes, mean_of = tuple(range(1, split.ndim - 1)), self._mean_of
        x = split.astype(jnp.float32)
        if split.dtype == jnp.bfloat16:
            mean, mean_square = mean_of(jnp.stack([jnp.mean(x, axes), jnp.mean(x * x, axes)]))
            return mean, jnp.maximum(mean_square - mean * mean, 0.0)  # it may round below
        mean = mean_of(jnp.mean(x, axes))
        centred = x - mean.reshape(self.groups, *(1,) * len(axes), -1)
        return mean, mean_of(jnp.mean(centred * centred, axes))

    def _mean_of(self, moments: jax.Array) -> jax.Array:
        """Over the devices; under the name by which remat keeps it."""
        return checkpoint_name(collectives.pmean(moments, self.axis_name), "moments")

    def _running(self, old: jax.Array, batch: jax.Array) -> jax.Array:
        return self.decay * old + (1.0 - self.decay) * jnp.mean(batch, axis=0)


class LayerNorm(nn.Module):
    """Normalizes x [B, ..., C] over the channels of each position: no example meets another.

    For methods that must not see the batch, such as CPC, in the place of BatchNorm.
    """

    eps: float = 1e-5
    use_scale: bool = True
    use_bias: bool = True
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
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
    factor, offset = factor.reshape(pad + factor.shape), offset.reshape(pad + offset.shape)
    return (x.astype(jnp.float32) * factor + offset).astype(x.dtype)  # bfloat16 rounds once
