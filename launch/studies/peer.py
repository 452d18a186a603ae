r"""Trains a method with lightly on PyTorch, with the data, network and batch size of a config.

    python launch/studies/peer.py --config=configs/fashion_mnist/byol.py --seconds=300 \
        --out=runs/peer/byol

Needs the extra `parity`. The config sets the data, the encoder's architecture, the batch size and
the method: byol, simclr or moco. Everything else is what lightly recommends for small images in its
CIFAR-10 benchmark: views without blur, heads, losses, and SGD with a cosine schedule, which here
ends after --seconds. byol_jax evaluates the features. The folder --out gets the files of a byol_jax
run: config.json, metrics.jsonl and evaluation.json.
"""

import argparse
import copy
import functools
import json
import os
import pathlib
import runpy
import time
from collections.abc import Callable
from importlib import metadata
from typing import NamedTuple

import lightly.loss
import lightly.transforms
import numpy as np
import torch
from lightly.models import modules, utils
from lightly.models.batchnorm import SplitBatchNorm
from PIL import Image
from torch import nn
from torchvision.models import resnet
from torchvision.transforms import functional

RATE = 0.06  # learning rate per 128 images of a batch
WEIGHT_DECAY = 5e-4
TARGET_DECAY = 0.99
MEAN = 0.286  # of Fashion-MNIST's pixels
STD = 0.353


def encoder(section, num_channels: int, batch_norm) -> tuple[nn.Module, int]:
    """Builds a config's ResNet from torchvision's blocks; returns it and its number of features."""
    stride = {"cifar": 1, "strided": 2}[section.stem]
    width = section.stem_width
    stem = nn.Conv2d(num_channels, width, 3, stride, 1, bias=False)
    layers = [stem, batch_norm(width), nn.ReLU(inplace=True)]
    block = resnet.Bottleneck if section.get("bottleneck") else resnet.BasicBlock
    for stage, (count, planes) in enumerate(zip(section.stages, section.widths, strict=True)):
        for number in range(count):
            next_width = planes * block.expansion
            stride = 2 if stage > 0 and number == 0 else 1
            shortcut = None
            if stride > 1 or width != next_width:
                convolution = resnet.conv1x1(width, next_width, stride)
                shortcut = nn.Sequential(convolution, batch_norm(next_width))
            layers.append(block(width, planes, stride, shortcut, norm_layer=batch_norm))
            width = next_width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), width


class Averaged(nn.Module):
    """An online network and its target network, a moving average that receives no gradient."""

    def __init__(self, online: nn.Module):
        super().__init__()
        self.online = online
        self.target = copy.deepcopy(online)
        utils.deactivate_requires_grad(self.target)

    def update(self) -> None:
        """Moves the target network towards the online network."""
        utils.update_momentum(self.online, self.target, TARGET_DECAY)


class Byol(nn.Module):
    """BYOL from lightly's modules, as in its benchmark."""

    def __init__(self, backbone: nn.Module, width: int):
        super().__init__()
        projector = modules.BYOLProjectionHead(width, 1024, 256)
        self.networks = Averaged(nn.Sequential(backbone, projector))
        self.predictor = modules.BYOLPredictionHead(256, 1024, 256)
        self.distance = lightly.loss.NegativeCosineSimilarity()

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Updates the target, then returns the loss of two views."""
        self.networks.update()
        predictions = [self.predictor(self.networks.online(x)) for x in (a, b)]
        with torch.no_grad():
            targets = [self.networks.target(x) for x in (b, a)]
        return sum(map(self.distance, predictions, targets)) / 2


class SimClr(nn.Module):
    """SimCLR from lightly's modules; the temperature is 0.5."""

    def __init__(self, backbone: nn.Module, width: int):
        super().__init__()
        self.network = nn.Sequential(backbone, modules.SimCLRProjectionHead(width, width, 128))
        self.contrast = lightly.loss.NTXentLoss()

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Returns the loss of two views."""
        return self.contrast(self.network(a), self.network(b))


class Moco(nn.Module):
    """MoCo from lightly's modules, with 4,096 keys; each view serves as the query once.

    Batch norm computes statistics over 8 parts of the batch.
    """

    def __init__(self, backbone: nn.Module, width: int):
        super().__init__()
        projector = modules.MoCoProjectionHead(width, width, 128)
        self.networks = Averaged(nn.Sequential(backbone, projector))
        self.contrast = lightly.loss.NTXentLoss(temperature=0.1, memory_bank_size=(4096, 128))

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Updates the target, then returns the loss of two views."""
        self.networks.update()
        return (self._contrast(a, b) + self._contrast(b, a)) / 2

    def _contrast(self, queries, keys):
        queries = self.networks.online(queries)
        with torch.no_grad():
            keys, order = utils.batch_shuffle(keys)
            keys = utils.batch_unshuffle(self.networks.target(keys), order)
        return self.contrast(queries, keys)


class Recipe(NamedTuple):
    """The parts of a method: its module, batch norm and views, and its fastest memory format."""

    module: Callable[[nn.Module, int], nn.Module]
    batch_norm: Callable[[int], nn.Module]
    views: Callable[[Image.Image], list[torch.Tensor]]
    memory_format: torch.memory_format = torch.channels_last


def recipe(method: str, size: int) -> Recipe:
    """Returns what lightly recommends for a method on small images, of size x size pixels."""
    shared = {"input_size": size, "gaussian_blur": 0.0, "normalize": {"mean": [MEAN], "std": [STD]}}
    transforms = lightly.transforms
    contrastive = transforms.SimCLRTransform(cj_strength=0.5, **shared)
    first = transforms.byol_transform.BYOLView1Transform(**shared)
    second = transforms.byol_transform.BYOLView2Transform(**shared)
    split_norm = functools.partial(SplitBatchNorm, num_splits=8)
    return {
        "byol": Recipe(Byol, nn.BatchNorm2d, transforms.BYOLTransform(first, second)),
        "simclr": Recipe(SimClr, nn.BatchNorm2d, contrastive),
        # SplitBatchNorm supports no other memory format.
        "moco": Recipe(Moco, split_norm, contrastive, torch.contiguous_format),
    }[method]


class Pictures(torch.utils.data.Dataset):
    """A data set whose items are the views of one image; images are uint8 [N, H, W, 1]."""

    def __init__(self, images: np.ndarray, views: Callable[[Image.Image], list[torch.Tensor]]):
        self.images = images
        self.views = views

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> list[torch.Tensor]:
        return self.views(Image.fromarray(self.images[number, ..., 0]))


def train(module, loader, *, rate, seconds, every, log) -> dict[int, dict]:
    """Trains a module for a number of seconds.

    Returns the module's states by step: after every `every` steps, and at the end.
    """
    params = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(params, rate, momentum=0.9, weight_decay=WEIGHT_DECAY)
    states = {}
    step = 0
    start = time.monotonic()
    while True:
        for a, b in loader:
            spent = time.monotonic() - start
            if spent >= seconds:
                states[step] = copy.deepcopy(module.state_dict())
                return states
            optimizer.param_groups[0]["lr"] = rate * (1 + np.cos(np.pi * spent / seconds)) / 2
            loss = module(a, b)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % every == 0:
                states[step] = copy.deepcopy(module.state_dict())
            if step % 50 == 0:
                log({"step": step, "loss": loss.item(), "seconds": time.monotonic() - start})


@torch.no_grad()
def features(backbone: nn.Module, images: np.ndarray) -> np.ndarray:
    """Computes the features of images, uint8 [N, H, W, 1] -> float32 [N, F], in evaluation mode."""
    backbone.eval()
    batches = []
    for batch in np.array_split(images, -(-len(images) // 500)):
        pixels = torch.from_numpy(batch.copy()).permute(0, 3, 1, 2).float() / 255
        batches.append(backbone(functional.normalize(pixels, [MEAN], [STD])).numpy())
    return np.concatenate(batches)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Train a method with lightly on PyTorch, on the data and network of a config.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--config", required=True, help="config file of the experiment")
    parser.add_argument(
        "--out", required=True, type=pathlib.Path, help="folder in which to write the results"
    )
    parser.add_argument("--data", help="data set, instead of the config's")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers")
    parser.add_argument("--seconds", type=float, default=300.0, help="duration of training")
    parser.add_argument("--every", type=int, default=250, help="steps between saved states")
    parser.add_argument("--rate", type=float, default=RATE, help="learning rate per 128 images")
    parser.add_argument("--workers", type=int, default=0, help="processes that make views")
    run(parser.parse_args())


def run(flags: argparse.Namespace) -> None:
    """Trains the method of the config, evaluates its features and writes the results."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # JAX is used for evaluation only
    from byol_jax import data, workdir

    config = runpy.run_path(flags.config)["get_config"]()
    splits = [data.open_source(flags.data or config.data.name, name) for name in ("train", "test")]
    torch.manual_seed(flags.seed)
    method = recipe(config.method.name, splits[0].image_shape[0])
    backbone, width = encoder(config.encoder, splits[0].num_channels, method.batch_norm)
    module = method.module(backbone, width).to(memory_format=method.memory_format)
    loader = torch.utils.data.DataLoader(
        Pictures(splits[0].images, method.views),
        batch_size=config.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=flags.workers,
        persistent_workers=flags.workers > 0,
    )
    flags.out.mkdir(parents=True, exist_ok=True)
    with (flags.out / workdir.METRICS).open("w", encoding="utf-8") as lines:

        def log(line):
            lines.write(json.dumps(line) + "\n")
            lines.flush()

        rate = flags.rate * config.batch_size / 128
        states = train(module, loader, rate=rate, seconds=flags.seconds, every=flags.every, log=log)
    workdir.write_config(flags.out, _config_record(config, flags))
    accuracy = {}
    for step in steps_to_evaluate(sorted(states)):
        module.load_state_dict(states[step])
        name = "learned" if step == max(states) else f"step {step}"
        accuracy[name] = measure(backbone, splits, step)
        values = ", ".join(f"{row['protocol']} {row['accuracy']:.2%}" for row in accuracy[name])
        print(f"{name}, {step}:", values)
    workdir.write_evaluation(flags.out, {"step": max(states), "accuracy": accuracy})


def steps_to_evaluate(steps: list[int]) -> list[int]:
    """Selects the middle and the last of the regular steps, and the final step.

    The regular steps are all of the ascending `steps` except the last.
    """
    regular = steps[:-1]
    selected = {regular[(len(regular) - 1) // 2], regular[-1]} if regular else set()
    return sorted(selected | {steps[-1]})


def _config_record(config, flags):
    versions = {name: metadata.version(name) for name in ("lightly", "torch", "torchvision")}
    return {
        "peer": versions,
        "method": {"name": config.method.name},
        "encoder": config.encoder.to_dict(),
        "batch_size": config.batch_size,
        "seed": flags.seed,
        "seconds": flags.seconds,
        "rate": flags.rate,
        "workers": flags.workers,
        "threads": torch.get_num_threads(),
    }


def measure(backbone, splits, step) -> list[dict]:
    """Evaluates the backbone's features with byol_jax; returns the rows of evaluation.json."""
    from byol_jax.evaluation import protocols, tuning

    train_features, test_features = (features(backbone, split.images) for split in splits)
    images = [tuning.Images(split.gather, split.labels) for split in splits]
    subject = protocols.Subject(lambda: (train_features, test_features))
    rows = protocols.evaluate(subject, *images, num_classes=splits[0].num_classes)
    return [{**row._asdict(), "settings": {"step": step, **row.settings}} for row in rows]


if __name__ == "__main__":
    main()
