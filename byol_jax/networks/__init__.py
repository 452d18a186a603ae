"""Encoders, heads and normalization layers. Each network is a pair of pure functions."""

from byol_jax.networks.context import row_context
from byol_jax.networks.heads import mlp
from byol_jax.networks.network import Network, from_linen, patchwise, starting_from
from byol_jax.networks.norm import NORMS, BatchNorm, LayerNorm
from byol_jax.networks.resnet import (
    resnet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnet200,
    resnet_small,
    resnet_tiny,
)

ENCODERS = {
    "resnet": resnet,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": resnet152,
    "resnet200": resnet200,
    "resnet_small": resnet_small,
    "resnet_tiny": resnet_tiny,
}

__all__ = [
    "ENCODERS",
    "NORMS",
    "BatchNorm",
    "LayerNorm",
    "Network",
    "from_linen",
    "mlp",
    "patchwise",
    "row_context",
    "starting_from",
]
