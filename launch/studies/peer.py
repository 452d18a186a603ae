"""lightly on PyTorch, to stand beside ours (extra parity): the same data, network and batch.

    python launch/studies/peer.py --config=configs/fashion_mnist/byol.py --seconds=300 --out=runs/peer/byol

Of the config come the data, the encoder's shape, the batch size and which method it is: byol, simclr
or moco. All else is what lightly recommends for small pictures in its benchmark on CIFAR-10: views
without blur, heads, losses, SGD with a cosine that ends with the time. Features go through our
evaluation. In --out it leaves what a run of ours does: config.json, metrics.jsonl, evaluation.json.
"""

import argparse
import copy
import functools
import json
import os
import pathlib
import runpy
import time
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

RATE, DECAY, TARGET_DECAY = 0.06, 5e-4, 0.99  # the rate per 128 images of a batch
MEAN, STD = 0.286, 0.353  # of Fashion-MNIST


def encoder(section, num_channels: int, batch_norm) -> tuple[nn.Module, int]:
    """A ResNet in the shape of a config's section, of torchvision's blocks; its number of features."""
    stride = {"cifar": 1, "strided": 2}[section.stem]
    width = section.stem_width
    stem = nn.Conv2d(num_channels, width, 3, stride, 1, bias=False)
    layers = [stem, batch_norm(width), nn.ReLU(inplace=True)]
    block = resnet.Bottleneck if section.get("bottleneck") else resnet.BasicBlock
    for stage, (count, planes) in enumerate(zip(section.stages, section.widths, strict=True)):
        for number in range(count):
            after, stride = planes * block.expansion, (2 if stage > 0 and number == 0 else 1)
            shortcut = None
            if stride > 1 or width != after:
                shortcut = nn.Sequential(resnet.conv1x1(width, after, stride), batch_norm(after))
            layers.append(block(width, planes, stride, shortcut, norm_layer=batch_norm))
            width = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), width


class Averaged(nn.Module):
    """A network and its moving average, which no gradient touches."""

    def __init__(self, online: nn.Module):
        super().__init__()
        self.online, self.target = online, copy.deepcopy(online)
        utils.deactivate_requires_grad(self.target)

    def update(self) -> None:
        utils.update_momentum(self.online, self.target, TARGET_DECAY)


class Byol(nn.Module):
    """lightly's parts of BYOL, as its benchmark puts them together."""

    def __init__(self, backbone: nn.Module, width: int):
        super().__init__()
        projector = modules.BYOLProjectionHead(width, 1024, 256)
        self.networks = Averaged(nn.Sequential(backbone, projector))
        self.predictor = modules.BYOLPredictionHead(256, 1024, 256)
        self.distance = lightly.loss.NegativeCosineSimilarity()

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """The loss of two views; the target moves first."""
        self.networks.update()
        predictions = [self.predictor(self.networks.online(x)) for x in (a, b)]
        with torch.no_grad():
            targets = [self.networks.target(x) for x in (b, a)]
        return sum(map(self.distance, predictions, targets)) / 2


class SimClr(nn.Module):
    """lightly's parts of SimCLR; its temperature is 0.5."""

    def __init__(self, backbone: nn.Module, width: int):
        super().__init__()
        self.network = nn.Sequential(backbone, modules.SimCLRProjectionHead(width, width, 128))
        self.contrast = lightly.loss.NTXentLoss()

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """The loss of two views."""
        return self.contrast(self.network(a), self.network(b))


class Moco(nn.Module):
    """lightly's parts of MoCo: both views are queries, batch norm is split in 8, 4,096 keys."""

    def __init__(self, backbone: nn.Module, width: int):
        super().__init__()
        projector = modules.MoCoProjectionHead(width, width, 128)
        self.networks = Averaged(nn.Sequential(backbone, projector))
        self.contrast = lightly.loss.NTXentLoss(temperature=0.1, memory_bank_size=(4096, 128))

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """The loss of two views; the target moves first."""
        self.networks.update()
        return (self._one(a, b) + self._one(b, a)) / 2

    def _one(self, queries, keys):
        queries = self.networks.online(queries)
        with torch.no_grad():
            keys, order = utils.batch_shuffle(keys)
            keys = utils.batch_unshuffle(self.networks.target(keys), order)
        return self.contrast(queries, keys)


class Recipe(NamedTuple):
    """A method's module, its batch norm, the views of a picture, and the faster layout of arrays."""

    module: type[nn.Module]
    batch_norm: object
    views: object
    layout: torch.memory_format = torch.channels_last


def recipe(method: str, size: int) -> Recipe:
    """What lightly recommends for a method and small pictures."""
    how = {"input_size": size, "gaussian_blur": 0.0, "normalize": {"mean": [MEAN], "std": [STD]}}
    kinds = lightly.transforms
    contrastive = kinds.SimCLRTransform(cj_strength=0.5, **how)
    of_byol = (kinds.byol_transform.BYOLView1Transform, kinds.byol_transform.BYOLView2Transform)
    first, second = (kind(**how) for kind in of_byol)
    split = functools.partial(SplitBatchNorm, num_splits=8)
    return {
        "byol": Recipe(Byol, nn.BatchNorm2d, kinds.BYOLTransform(first, second)),
        "simclr": Recipe(SimClr, nn.BatchNorm2d, contrastive),
        "moco": Recipe(Moco, split, contrastive, torch.contiguous_format),  # split takes no other
    }[method]


class Pictures(torch.utils.data.Dataset):
    """The views of each picture: images uint8 [N, H, W, 1]."""

    def __init__(self, images: np.ndarray, views):
        self.images, self.views = images, views

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> list[torch.Tensor]:
        return self.views(Image.fromarray(self.images[number, ..., 0]))


def train(module, loader, *, rate, seconds, every, log) -> dict[int, dict]:
    """Trains for so many seconds; the module's states after each `every` steps, and at the end."""
    params = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(params, rate, momentum=0.9, weight_decay=DECAY)
    states, step, start = {}, 0, time.monotonic()
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
    """Of images uint8 [N, H, W, 1]: float32 [N, F], in evaluation mode."""
    backbone.eval()
    found = []
    for batch in np.array_split(images, -(-len(images) // 500)):
        pixels = torch.from_numpy(batch.copy()).permute(0, 3, 1, 2).float() / 255
        found.append(backbone(functional.normalize(pixels, [MEAN], [STD])).numpy())
    return np.concatenate(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--data", help="in place of the config's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=300.0, help="of training")
    parser.add_argument("--every", type=int, default=250, help="steps between what is evaluated")
    parser.add_argument("--rate", type=float, default=RATE, help="learning rate per 128 images")
    parser.add_argument("--workers", type=int, default=0, help="processes that make views")
    run(parser.parse_args())


def run(given: argparse.Namespace) -> None:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # JAX only evaluates here
    from byol_jax import data, workdir

    config = runpy.run_path(given.config)["get_config"]()
    splits = [data.open_source(given.data or config.data.name, name) for name in ("train", "test")]
    torch.manual_seed(given.seed)
    chosen = recipe(config.method.name, splits[0].image_shape[0])
    backbone, width = encoder(config.encoder, splits[0].num_channels, chosen.batch_norm)
    module = chosen.module(backbone, width).to(memory_format=chosen.layout)
    loader = torch.utils.data.DataLoader(
        Pictures(splits[0].images, chosen.views),
        batch_size=config.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=given.workers,
        persistent_workers=given.workers > 0,
    )
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / workdir.METRICS).open("w", encoding="utf-8") as lines:

        def log(line):
            lines.write(json.dumps(line) + "\n")
            lines.flush()

        rate = given.rate * config.batch_size / 128
        how = {"rate": rate, "seconds": given.seconds, "every": given.every, "log": log}
        states = train(module, loader, **how)
    workdir.write_config(given.out, _about(config, given))
    found = {}
    for step in wanted(sorted(states)):
        state = states[step]
        module.load_state_dict(state)
        name = "learned" if step == max(states) else f"step {step}"
        found[name] = measure(backbone, splits, step)
        print(
            f"{name}, {step}:",
            ", ".join(f"{r['protocol']} {r['accuracy']:.2%}" for r in found[name]),
        )
    workdir.write_evaluation(given.out, {"step": max(states), "accuracy": found})


def wanted(steps: list[int]) -> list[int]:
    """Of the steps that there are: one in the middle, the last of the regular ones, and the last."""
    regular = steps[:-1]
    chosen = {regular[(len(regular) - 1) // 2], regular[-1]} if regular else set()
    return sorted(chosen | {steps[-1]})


def _about(config, given):
    versions = {name: metadata.version(name) for name in ("lightly", "torch", "torchvision")}
    return {
        "peer": versions,
        "method": {"name": config.method.name},
        "encoder": config.encoder.to_dict(),
        "batch_size": config.batch_size,
        "seed": given.seed,
        "seconds": given.seconds,
        "rate": given.rate,
        "workers": given.workers,
        "threads": torch.get_num_threads(),
    }


def measure(backbone, splits, step) -> list[dict]:
    """The rows of our evaluation for the backbone's features of both splits."""
    from byol_jax.evaluation import protocols, tuning

    rows = [features(backbone, split.images) for split in splits]
    images = [tuning.Images(split.gather, split.labels) for split in splits]
    subject = protocols.Subject(lambda: tuple(rows))
    found = protocols.evaluate(subject, *images, num_classes=splits[0].num_classes)
    return [{**row._asdict(), "settings": {"step": step, **row.settings}} for row in found]


if __name__ == "__main__":
    main()
