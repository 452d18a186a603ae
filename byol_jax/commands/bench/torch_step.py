"""The PyTorch peer of `bench step`: SimCLR with torchvision's ResNet, eager or compiled."""

from collections.abc import Callable

import jax
import numpy as np
from ml_collections import ConfigDict

from byol_jax import errors

_STAGES = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
_STEMS = ("imagenet", "cifar")
# PyTorch's padding is symmetric, and the form of the convolutions is its own.
_ENCODER_ARGUMENTS = ("convolution", "name", "stem", "padding", "zero_last_scale")


def make(config: ConfigDict, views: np.ndarray, *, compile: bool = False) -> Callable[[], None]:
    """Makes a function that performs one train step of SimCLR in PyTorch.

    The step uses arrays with channels last, and a CUDA device if PyTorch has one, or else all
    cores. The networks compute in the config's precision, the loss in float32. The optimizer is SGD
    with momentum, regardless of the config's optimizer.

    Args:
        config: The experiment's config. `method.joint_views` sets whether the network computes both
            views in one batch or in two.
        views: The two views of a batch, float32 [B, 2, h, w, 3].
        compile: True compiles the network with torch.compile.

    Returns:
        A function without arguments that takes one step on these views.

    Raises:
        UserError: The config has another method, another precision, several devices, or a network
            that torchvision does not have.
    """
    _check_supported(config)
    import torch  # pyright: ignore[reportMissingImports]

    torch.manual_seed(config.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    place = device if device == "cuda" else f"{torch.get_num_threads()} threads"
    mode = "torch.compile" if compile else "eager"
    print(f"torch {torch.__version__}, {place}, {mode}, {config.precision}, channels last, SGD")
    encoder = _encoder(config.encoder)
    projector = _projector(config.projector, encoder.fc.in_features)
    encoder.fc = torch.nn.Identity()
    network = torch.nn.Sequential(encoder, projector)
    network = network.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9, weight_decay=1e-4)
    network = torch.compile(network) if compile else network
    images = [torch.from_numpy(views[:, v].copy()).to(device) for v in range(2)]
    images = [image.permute(0, 3, 1, 2) for image in images]
    if config.method.get("joint_views", True):
        images = [torch.cat(images)]

    def call():
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bfloat16"):
            projections = [network(image) for image in images]
        loss = _nt_xent(torch.cat(projections).float(), config.method.get("temperature", 0.1))
        loss.backward()
        optimizer.step()
        loss.item()

    return call


def _check_supported(config: ConfigDict) -> None:
    encoder = config.encoder
    norm = config.batch_norm
    is_plain_norm = norm.get("kind", "batch") == "batch" and norm.get("groups", 1) <= 1
    unsupported = {
        f"method {config.method.name!r}": config.method.name != "simclr",
        f"precision {config.precision!r}": config.precision not in ("float32", "bfloat16"),
        f"encoder {encoder.name!r}": encoder.name not in _STAGES,
        f"stem {encoder.get('stem')!r}": encoder.get("stem", "imagenet") not in _STEMS,
        f"{jax.device_count()} devices": jax.device_count() > 1,
        f"{config.microbatches} microbatches": config.microbatches > 1,
        f"batch norm {dict(norm)}": not is_plain_norm,
        **{f"encoder.{name}": name not in _ENCODER_ARGUMENTS for name in encoder},
    }
    problems = [problem for problem, applies in unsupported.items() if applies]
    if problems:
        encoders = ", ".join(_STAGES)
        stems = " or ".join(_STEMS)
        raise errors.UserError(
            f"--peer does not support {problems[0]}. It supports simclr on one device, in float32 "
            "or bfloat16, in one microbatch, with ungrouped batch norm, and with one of the "
            f"encoders {encoders} and the stem {stems}."
        )


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
