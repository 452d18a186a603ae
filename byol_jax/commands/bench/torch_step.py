"""The PyTorch peers of `bench step`: SimCLR with torchvision's ResNet; eager, compiled, lightly."""

from collections.abc import Callable
from importlib import metadata

import numpy as np
from ml_collections import ConfigDict

_STAGES = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}


def make(config: ConfigDict, views: np.ndarray, *, compile: bool = False) -> Callable[[], None]:
    """Makes a function that performs one train step of SimCLR in PyTorch.

    The step uses arrays with channels last, and a CUDA device if PyTorch has one, or else all
    cores. The networks compute in the config's precision, the loss in float32. The optimizer is SGD
    with momentum, regardless of the config's optimizer.

    Args:
        config: The experiment's config, one that `peers.make` supports. `method.joint_views` sets
            whether the network computes both views in one batch or in two.
        views: The two views of a batch, float32 [B, 2, h, w, 3].
        compile: True compiles the network with torch.compile.

    Returns:
        A function without arguments that takes one step on these views.
    """
    import torch  # pyright: ignore[reportMissingImports]

    device = _device()
    mode = "torch.compile" if compile else "eager"
    joint = config.method.get("joint_views", True)
    print(f"torch {_facts(config)}, {mode}, {_views_fact(joint)}, channels last, SGD")
    network = _network(config).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9, weight_decay=1e-4)
    network = torch.compile(network) if compile else network
    images = [image.permute(0, 3, 1, 2) for image in _images(views)]
    images = [torch.cat(images)] if joint else images

    def call():
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bfloat16"):
            projections = [network(image) for image in images]
        loss = _nt_xent(torch.cat(projections).float(), config.method.get("temperature", 0.1))
        loss.backward()
        optimizer.step()
        loss.item()

    return call


def make_lightly(config: ConfigDict, views: np.ndarray) -> Callable[[], None]:
    """Makes a function that performs one train step of SimCLR with the loop of lightly's examples.

    The network computes one view after the other, on arrays with channels first, and on a CUDA
    device if PyTorch has one. The loss is lightly's NTXentLoss. The optimizer is SGD with momentum.

    Args:
        config: The experiment's config, one that `peers.make` supports.
        views: The two views of a batch, float32 [B, 2, h, w, 3].

    Returns:
        A function without arguments that takes one step on these views.
    """
    import torch  # pyright: ignore[reportMissingImports]
    from lightly.loss import NTXentLoss  # pyright: ignore[reportMissingImports]

    device = _device()
    version = metadata.version("lightly")
    facts = f"{_facts(config)}, {_views_fact(False)}"
    print(f"lightly {version}, torch {facts}, channels first, SGD")
    network = _network(config).to(device)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9, weight_decay=1e-4)
    criterion = NTXentLoss(temperature=config.method.get("temperature", 0.1))
    images = [image.permute(0, 3, 1, 2).contiguous() for image in _images(views)]

    def call():
        with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bfloat16"):
            a, b = (network(image) for image in images)
            loss = criterion(a, b)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return call


def _device() -> str:
    import torch  # pyright: ignore[reportMissingImports]

    return "cuda" if torch.cuda.is_available() else "cpu"


def _facts(config: ConfigDict) -> str:
    import torch  # pyright: ignore[reportMissingImports]

    device = _device()
    place = device if device == "cuda" else f"{torch.get_num_threads()} threads"
    return f"{torch.__version__}, {place}, {config.precision}"


def _views_fact(joint: bool) -> str:
    return "both views as one batch" if joint else "one view after the other"


def _images(views: np.ndarray) -> list:
    import torch  # pyright: ignore[reportMissingImports]

    return [torch.from_numpy(views[:, v].copy()).to(_device()) for v in range(2)]


def _network(config: ConfigDict):
    import torch  # pyright: ignore[reportMissingImports]

    torch.manual_seed(config.seed)
    encoder = _encoder(config.encoder)
    projector = _projector(config.projector, encoder.fc.in_features)
    encoder.fc = torch.nn.Identity()
    return torch.nn.Sequential(encoder, projector)


def _encoder(section: ConfigDict):
    from torch import nn  # pyright: ignore[reportMissingImports]
    from torchvision.models import resnet  # pyright: ignore[reportMissingImports]

    block = resnet.Bottleneck if section.name == "resnet50" else resnet.BasicBlock
    zero = section.get("zero_last_scale", False)
    network = resnet.ResNet(block, _STAGES[section.name], zero_init_residual=zero)
    if section.get("stem") == "cifar":
        network.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        network.maxpool = nn.Identity()
    return network


def _projector(section: ConfigDict, width: int):
    from torch import nn  # pyright: ignore[reportMissingImports]

    layers = []
    for number, next_width in enumerate(section.widths, start=1):
        is_last = number == len(section.widths)
        layers.append(nn.Linear(width, next_width))
        if section.get("last_norm") if is_last else section.get("batch_norm", True):
            layers.append(nn.BatchNorm1d(next_width))
        layers += [] if is_last else [nn.ReLU()]
        width = next_width
    return nn.Sequential(*layers)


def _nt_xent(projections, temperature: float):
    """Returns SimCLR's loss, the mean over both views.

    projections: [2 B, D], all of the first view before all of the second.
    """
    import torch  # pyright: ignore[reportMissingImports]
    from torch.nn import functional  # pyright: ignore[reportMissingImports]

    rows = functional.normalize(projections, dim=1)
    similarities = rows @ rows.T / temperature
    similarities.fill_diagonal_(-torch.inf)
    positives = torch.arange(len(rows)).roll(len(rows) // 2)
    return functional.cross_entropy(similarities, positives)
