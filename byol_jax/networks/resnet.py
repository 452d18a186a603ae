"""Residual networks, version 1 (He et al. 2015), in every form that the papers here use.

The stride of a bottleneck is on its 3x3 convolution. Three paddings exist because weights trained
with one are wrong with another: they differ wherever the stride is 2.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from byol_jax import errors
from byol_jax.networks import convolution, network, norm

PADDINGS = ("same", "torch", "fixed")
STEMS = ("imagenet", "cifar", "strided")
REMATS = {  # what the backward pass does not compute anew, beside what enters a block
    "elementwise": ("convolution", "moments"),
    "blocks": ("moments",),
}

_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Block(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3 and four times wider 1x1, beside a shortcut."""

    width: int
    inner_width: int
    stride: int
    bottleneck: bool
    conv: Callable
    batch_norm: Callable
    last_scale: nn.initializers.Initializer
    always_project: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        width, stride = self.width, self.stride
        if self.bottleneck:
            inner = self.inner_width
            layers = [(inner, 1, 1), (inner, 3, stride), (4 * width, 1, 1)]
        else:
            layers = [(width, 3, stride), (width, 3, 1)]
        y = x
        for i, (features, size, step) in enumerate(layers, start=1):
            is_last = i == len(layers)
            y = self.conv(features, size, step, name=f"conv{i}")(y)
            scale_init = self.last_scale if is_last else nn.initializers.ones
            y = self.batch_norm(scale_init=scale_init, name=f"bn{i}")(y, train=train)
            y = y if is_last else nn.relu(y)
        if self.always_project or x.shape != y.shape:
            x = self.conv(layers[-1][0], 1, stride, name="shortcut_conv")(x)
            x = self.batch_norm(name="shortcut_bn")(x, train=train)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """Images [B, H, W, C] to features [B, F], the mean over the last map's positions.

    stages: blocks in each stage; widths: their channels, before the bottleneck's factor 4.
    inner_width: times the channels of a bottleneck's 3x3 convolution (2: torchvision's wide nets).
    stem: "imagenet" (7x7 / 2 and 3x3 max pool / 2), "cifar" (3x3, no pool), or "strided" (3x3 / 2,
        no pool: small images on a CPU).
    padding: "same" (TensorFlow, Haiku: BYOL), "torch" (symmetric: MoCo, InstDisc), or "fixed"
        (symmetric convolutions with a SAME pool: SimCLR).
    zero_last_scale: start every block as the identity, its last scale being 0.
    always_project: a shortcut convolution in the first block of every stage, needed or not.
    remat: what the backward pass computes anew instead of keeping it: None, nothing; "elementwise",
        all but convolutions and the moments of batch norm; "blocks", all but what enters a block
        and the moments: a third more operations, a fraction of the memory.
    """

    stages: tuple[int, ...]
    widths: tuple[int, ...]
    bottleneck: bool
    inner_width: float
    stem: str
    stem_width: int
    padding: str
    zero_last_scale: bool
    always_project: bool
    batch_norm: Callable
    remat: str | None
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        conv = functools.partial(_conv, padding=self.padding, dtype=self.dtype)
        # What is pooled is the largest array of all, and sooner made again than read.
        stem_remat = self.remat or ("elementwise" if self.stem == "imagenet" else None)
        x = _remat(ResNet._stem, stem_remat)(self, x.astype(self.dtype), train)
        scale = nn.initializers.zeros if self.zero_last_scale else nn.initializers.ones
        for stage, (blocks, width) in enumerate(zip(self.stages, self.widths, strict=True)):
            for i in range(blocks):
                x = _remat(Block, self.remat)(
                    width=width,
                    inner_width=int(width * self.inner_width),
                    stride=2 if stage > 0 and i == 0 else 1,
                    bottleneck=self.bottleneck,
                    conv=conv,
                    batch_norm=self.batch_norm,
                    last_scale=scale,
                    always_project=self.always_project and i == 0,
                    name=f"stage{stage + 1}_block{i + 1}",
                )(x, train)
        return jnp.mean(x.astype(jnp.float32), axis=(1, 2))

    def _stem(self, x: jax.Array, train: bool) -> jax.Array:
        conv = functools.partial(_conv, padding=self.padding, dtype=self.dtype)
        size, stride = {"imagenet": (7, 2), "cifar": (3, 1), "strided": (3, 2)}[self.stem]
        x = conv(self.stem_width, size, stride, name="stem_conv")(x)
        x = nn.relu(self.batch_norm(name="stem_bn")(x, train=train))
        if self.stem == "imagenet":
            pad = [(1, 1), (1, 1)] if self.padding == "torch" else "SAME"
            x = nn.max_pool(x, (3, 3), (2, 2), pad)
        return x


def _conv(features: int, size: int, stride: int, *, padding: str, dtype: jnp.dtype, name: str):
    half = (size - 1) // 2
    module = nn.Conv(
        features,
        (size, size),
        stride,
        padding="SAME" if padding == "same" else [(half, half), (half, half)],
        use_bias=False,
        kernel_init=_he_normal,
        dtype=dtype,
        conv_general_dilated=convolution.convolve,
        name=name,
    )
    return lambda x: checkpoint_name(module(x), "convolution")


def _remat(part: type | Callable, kind: str | None):
    """A module or a method of one, of (x, train), that keeps for the backward pass what kind says."""
    if kind is None:
        return part
    policy = jax.checkpoint_policies.save_only_these_names(*REMATS[kind])
    return nn.remat(part, policy=policy, static_argnums=(2,))


def resnet(
    stages: tuple[int, ...],
    *,
    bottleneck: bool = False,
    width: float = 1,
    inner_width: float = 1,
    widths: tuple[int, ...] = (64, 128, 256, 512),
    stem: str = "imagenet",
    stem_width: int = 64,
    padding: str = "torch",
    zero_last_scale: bool = False,
    always_project: bool = False,
    batch_norm: Callable = norm.BatchNorm,
    remat: str | None = None,
    dtype: str = "float32",
) -> network.Network:
    """A residual network; see ResNet for the arguments. `width` multiplies every channel count.

    Raises ValueError for an unknown stem, padding or remat, and for widths below 1.
    """
    choices = (
        ("stem", stem, STEMS),
        ("padding", padding, PADDINGS),
        ("remat", remat, (None, *REMATS)),
    )
    for name, value, known in choices:
        if value not in known:
            raise errors.UserError(
                f"unknown {name} {value!r}; choose one of {', '.join(map(str, known))}."
            )
    scaled = tuple(int(channels * width) for channels in widths)
    if min((*scaled, int(stem_width * width))) < 1:
        raise errors.UserError(
            f"widths {tuple(widths)} and stem_width {stem_width}, times width {width}, must be 1 or "
            "more channels each."
        )
    module = ResNet(
        stages=tuple(stages),
        widths=scaled,
        bottleneck=bottleneck,
        inner_width=inner_width,
        stem=stem,
        stem_width=int(stem_width * width),
        padding=padding,
        zero_last_scale=zero_last_scale,
        always_project=always_project,
        batch_norm=batch_norm,
        remat=remat,
        dtype=jnp.dtype(dtype),
    )
    return network.from_linen(module)


resnet18 = functools.partial(resnet, (2, 2, 2, 2))
resnet34 = functools.partial(resnet, (3, 4, 6, 3))
resnet50 = functools.partial(resnet, (3, 4, 6, 3), bottleneck=True)
resnet101 = functools.partial(resnet, (3, 4, 23, 3), bottleneck=True)
resnet152 = functools.partial(resnet, (3, 8, 36, 3), bottleneck=True)
resnet200 = functools.partial(resnet, (3, 24, 36, 3), bottleneck=True)
resnet_tiny = functools.partial(resnet, (1, 1), widths=(8, 16), stem_width=8, stem="cifar")
resnet_small = functools.partial(
    resnet, (1, 1, 1), widths=(32, 64, 128), stem_width=32, stem="cifar"
)
