"""Residual networks, version 1 (He et al. 2015), in the variants of papers on self-supervision.

A bottleneck block has its stride in the 3x3 convolution. The frameworks pad differently in layers
of stride 2; weights that were trained with one padding are wrong with another.
"""

import functools
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from byol_jax import errors, pickling
from byol_jax.networks import convolution as forms
from byol_jax.networks import network, norm

PADDINGS = ("same", "torch", "fixed")
STEMS = ("imagenet", "cifar", "strided")
REMATS = {  # the intermediate results that the backward pass reads instead of recomputing
    "elementwise": ("convolution", "moments"),
    "blocks": ("moments",),
}

_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class MakeConv(Protocol):
    """A function that creates a convolution."""

    def __call__(self, features: int, size: int, stride: int, *, name: str) -> Any:
        """Creates a convolution, a function of [B, H, W, C].

        Args:
            features: Number of output channels.
            size: Side of the kernel.
            stride: Stride of height and width.
            name: Name of the flax module.

        Returns:
            The convolution.
        """
        ...


class Block(nn.Module):
    """A residual block: a shortcut plus two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1.

    Attributes:
        width: Number of channels; a bottleneck has four times as many outputs.
        inner_width: Channels of a bottleneck's 3x3 convolution.
        stride: Stride of the block.
        bottleneck: Use the bottleneck form.
        conv: Creates the convolutions.
        batch_norm: Creates the normalization layers.
        last_scale: Initializer of the last normalization's scale.
        always_project: Use a convolution in the shortcut even if the shapes are equal.
    """

    width: int
    inner_width: int
    stride: int
    bottleneck: bool
    conv: MakeConv
    batch_norm: norm.MakeNorm
    last_scale: nn.initializers.Initializer
    always_project: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Computes the outputs of the block.

        Args:
            x: Input [B, H, W, C].
            train: True normalizes by the batch, False by the running statistics.

        Returns:
            Output [B, H / stride, W / stride, F].
        """
        width = self.width
        stride = self.stride
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
    """The flax module of `resnet`: images [B, H, W, C] to features [B, F].

    Attributes:
        stages: Number of blocks in each stage.
        widths: Channels of each stage.
        bottleneck: Use bottleneck blocks.
        inner_width: Factor of the channels of a bottleneck's 3x3 convolution.
        stem: The first layers.
        stem_width: Channels of the first convolution.
        padding: Padding of the convolutions.
        zero_last_scale: Initialize the last scale of each block with 0.
        always_project: Use a shortcut convolution in the first block of every stage.
        batch_norm: Creates the normalization layers.
        convolution: How a CPU computes 3x3 convolutions.
        remat: What the backward pass recomputes.
        dtype: Type in which the network computes.
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
    batch_norm: norm.MakeNorm
    convolution: str
    remat: str | None
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Computes the features of images.

        Args:
            x: Images [B, H, W, C].
            train: True normalizes by the batch, False by the running statistics.

        Returns:
            Features [B, F], float32.
        """
        conv = self._make_conv()
        # The input of the pooling is the largest array; recomputing it is faster than reading it.
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

    def _make_conv(self) -> MakeConv:
        return functools.partial(
            _conv, padding=self.padding, form=self.convolution, dtype=self.dtype
        )

    def _stem(self, x: jax.Array, train: bool) -> jax.Array:
        conv = self._make_conv()
        size, stride = {"imagenet": (7, 2), "cifar": (3, 1), "strided": (3, 2)}[self.stem]
        x = conv(self.stem_width, size, stride, name="stem_conv")(x)
        x = nn.relu(self.batch_norm(name="stem_bn")(x, train=train))
        if self.stem == "imagenet":
            pad: Any = [(1, 1), (1, 1)] if self.padding == "torch" else "SAME"
            x = nn.max_pool(x, (3, 3), (2, 2), pad)
        return x


def _conv(
    features: int,
    size: int,
    stride: int,
    *,
    padding: str,
    form: str,
    dtype: jnp.dtype,
    name: str,
) -> Any:
    half = (size - 1) // 2
    module = nn.Conv(
        features,
        (size, size),
        stride,
        padding="SAME" if padding == "same" else [(half, half), (half, half)],
        use_bias=False,
        kernel_init=_he_normal,
        dtype=dtype,
        conv_general_dilated=functools.partial(forms.convolve, form=form),
        name=name,
    )
    return lambda x: checkpoint_name(module(x), "convolution")


def _remat(function: Any, kind: str | None) -> Any:
    """Makes the backward pass recompute a flax module or method instead of storing its results."""
    if kind is None:
        return function
    policy = jax.checkpoint_policies.save_only_these_names(*REMATS[kind])
    return nn.remat(function, policy=policy, static_argnums=(2,))


@pickling.picklable
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
    batch_norm: norm.MakeNorm = norm.BatchNorm,
    convolution: str = "direct",
    remat: str | None = None,
    dtype: str = "float32",
) -> network.Network:
    """Creates a ResNet that maps images [B, H, W, C] to features [B, F], averaged over positions.

    Args:
        stages: Number of blocks in each stage.
        bottleneck: True uses blocks of 1x1, 3x3 and 1x1 convolutions with four times as many output
            channels; False uses two 3x3 convolutions.
        width: Factor of all channel counts.
        inner_width: Factor of the channels of a bottleneck's 3x3 convolution (2 in torchvision's
            wide ResNets).
        widths: Channels of each stage, before the factor 4 of a bottleneck.
        stem: "imagenet" (7x7 convolution with stride 2, 3x3 max pooling with stride 2), "cifar"
            (3x3 convolution), or "strided" (3x3 convolution with stride 2, for small images on a
            CPU).
        stem_width: Channels of the first convolution.
        padding: "same" (TensorFlow and Haiku: BYOL), "torch" (symmetric: MoCo, InstDisc), or
            "fixed" (symmetric convolutions with SAME pooling: SimCLR).
        zero_last_scale: True initializes the last scale of each block with 0, so that each block
            starts as the identity.
        always_project: True uses a shortcut convolution in the first block of every stage, even if
            the shapes are equal.
        batch_norm: Creates the normalization layers.
        convolution: How a CPU computes 3x3 convolutions of stride 1 in float32: "direct", or
            "winograd", which is faster and less exact (networks.winograd).
        remat: What the backward pass recomputes to save memory: None, nothing; "elementwise",
            everything in a block except convolutions and batch-norm moments; "blocks", each block
            from its input, which takes a third more operations.
        dtype: Type in which the network computes: "float32" or "bfloat16".

    Returns:
        The network; its features are float32.

    Raises:
        UserError: The stem, padding, convolution or remat is unknown, or a width is below 1.
    """
    choices = (
        ("stem", stem, STEMS),
        ("padding", padding, PADDINGS),
        ("convolution", convolution, forms.FORMS),
        ("remat", remat, (None, *REMATS)),
    )
    for name, value, valid in choices:
        if value not in valid:
            names = ", ".join(map(str, valid))
            raise errors.UserError(f"unknown {name} {value!r}; choose one of {names}.")
    scaled = tuple(int(channels * width) for channels in widths)
    if min((*scaled, int(stem_width * width))) < 1:
        raise errors.UserError(
            f"widths {tuple(widths)} and stem_width {stem_width} have less than one channel after "
            f"multiplication by width {width}; choose larger numbers."
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
        convolution=convolution,
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
