"""The train step of bench/step.py in PyTorch's eager mode: torchvision's ResNet and SimCLR's loss."""

from collections.abc import Callable

import jax
import numpy as np
from ml_collections import ConfigDict

from byol_jax import errors

_STAGES = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
_KNOWN = ("name", "stem", "padding", "zero_last_scale")  # padding: symmetric, as torchvision's


def make(config: ConfigDict, views: np.ndarray) -> Callable[[], None]:
    """A call that takes one step of SimCLR, in float32 and channels last, with all cores.

    views: [B, 2, h, w, 3], in one batch or two, as the config's method has it. Parameters move by SGD with momentum, whatever the config's optimizer.

    Raises ValueError for another method, another precision, and a network that is not torchvision's.
    """
    _check(config)
    import torch

    torch.manual_seed(config.seed)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, eager, channels last, SGD"
    )
    encoder = _encoder(config.encoder)
    projector = _projector(config.projector, encoder.fc.in_features)
    encoder.fc = torch.nn.Identity()
    network = torch.nn.Sequential(encoder, projector).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9, weight_decay=1e-4)
    images = [torch.from_numpy(views[:, v].copy()).permute(0, 3, 1, 2) for v in range(2)]
    if config.method.get("joint_views", True):
        images = [torch.cat(images)]

    def call():
        optimizer.zero_grad()
        projections = [network(image) for image in images]
        loss = _nt_xent(torch.cat(projections), config.method.get("temperature", 0.1))
        loss.backward()
        optimizer.step()
        loss.item()

    return call


def _check(config):
    encoder = config.encoder
    problems = {
        f"method {config.method.name!r}": config.method.name != "simclr",
        f"precision {config.precision!r}": config.precision != "float32",
        f"encoder {encoder.name!r}": encoder.name not in _STAGES,
        f"stem {encoder.get('stem')!r}": encoder.get("stem", "imagenet")
        not in ("imagenet", "cifar"),
        f"{jax.device_count()} devices": jax.device_count() > 1,
        f"{config.microbatches} microbatches": config.microbatches > 1,
        f"batch norm {dict(config.batch_norm)}": config.batch_norm.get("kind", "batch") != "batch"
        or config.batch_norm.get("groups", 1) > 1,
        **{f"encoder.{name}": name not in _KNOWN for name in encoder},
    }
    for problem, is_there in problems.items():
        if is_there:
            raise errors.UserError(
                f"--peer=torch does not support {problem}; it takes simclr in float32 on one device, whole "
                f"batches and batch norm, {', '.join(_STAGES)}, stem imagenet or cifar."
            )


def _encoder(section):
    from torch import nn
    from torchvision.models import resnet

    block = resnet.Bottleneck if section.name == "resnet50" else resnet.BasicBlock
    zero = section.get("zero_last_scale", False)
    network = resnet.ResNet(block, _STAGES[section.name], zero_init_residual=zero)
    if section.get("stem") == "cifar":
        network.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        network.maxpool = nn.Identity()
    return network


def _projector(section, width):
    from torch import nn

    layers = []
    for i, after in enumerate(section.widths, start=1):
        is_last = i == len(section.widths)
        layers.append(nn.Linear(width, after))
        if section.get("last_norm") if is_last else section.get("batch_norm", True):
            layers.append(nn.BatchNorm1d(after))
        layers += [] if is_last else [nn.ReLU()]
        width = after
    return nn.Sequential(*layers)


def _nt_xent(projections, temperature):
    """The mean over both directions; projections [2 B, D], the first view's before the second's."""
    import torch
    from torch.nn import functional

    rows = functional.normalize(projections, dim=1)
    similarities = rows @ rows.T / temperature
    similarities.fill_diagonal_(-torch.inf)
    positives = torch.arange(len(rows)).roll(len(rows) // 2)
    return functional.cross_entropy(similarities, positives)
