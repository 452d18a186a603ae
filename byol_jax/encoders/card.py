"""The model card that goes with the file of an encoder: what it is, and how to use it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from byol_jax.encoders.file import About

UNKNOWN = "unknown"  # the data of weights from elsewhere
MARK = "<!-- written by byol_jax export -->"
_TORCHVISION = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
_OWN = (
    "stages",
    "width",
    "widths",
    "stem_width",
    "always_project",
)  # torchvision has none of these


def place(file: Path) -> Path:
    """Where the card of `file` goes: README.md beside it, unless somebody else's is there."""
    readme = file.with_name("README.md")
    if readme.exists() and MARK not in readme.read_text(encoding="utf-8", errors="replace"):
        return file.with_suffix(".md")
    return readme


def text(
    file: str, about: About, layout: str, *, num_features: int, results: Mapping[str, Sequence[Any]]
) -> str:
    """The card, in Markdown with the head that hubs read.

    file: the name of the encoder's.  results: rows of an evaluation by features' name, as
    evaluation.json has them: {"protocol", "accuracy", "settings"}; there may be none.
    """
    parts = [
        _head(about, layout),
        f"# {about.encoder['name']} by {about.method}",
        MARK,
        f"An image encoder of {num_features} features. {_origin(about)} It has no classifier.",
        "## Use",
        _use_jax(file),
        *([_use_torch(file, about)] if layout == "torchvision" else []),
        "## Preprocessing",
        _preprocessing(about),
        "## Network",
        _table({**about.encoder, "norm": about.norm, **(about.patches or {})}),
        "## Results",
        _results(results) if results else "Not measured.",
    ]
    return "\n\n".join(parts) + "\n"


def _origin(about):
    if about.data == UNKNOWN:
        return f"Converted by byol_jax from weights of {about.method}'s form, made elsewhere."
    return (
        f"Trained by `{about.method}` on `{about.data}` for {about.step:,} steps with byol_jax "
        f"({about.commit})."
    )


def _preprocessing(about):
    height, width, channels = about.image_shape
    return (
        f"Pictures are made to cover {height} x {width} pixels by bicubic resizing and cut to their "
        f"center; {channels} channels, scaled to [0, 1]. {_view(about.view)}"
    )


def _head(about, layout):
    library = "timm" if layout == "torchvision" and _constructor(about) else "byol_jax"
    tags = ("self-supervised", about.method, "image-feature-extraction")
    lines = [f"library_name: {library}", "pipeline_tag: image-feature-extraction", "tags:"]
    return "\n".join(["---", *lines, *(f"- {tag}" for tag in tags), "---"])


def _use_jax(file):
    return _code(
        "import byol_jax",
        f'encoder = byol_jax.load_encoder("{file}")',
        "features = encoder(images)  # uint8 [N, H, W, C] -> float32 [N, F]; preprocessing included",
    )


def _constructor(about) -> str | None:
    """The function of torchvision.models that makes this network, but for its stem."""
    own = {name for name in _OWN if name in about.encoder}
    name, inner = about.encoder["name"], about.encoder.get("inner_width", 1)
    if own or name not in _TORCHVISION or about.encoder.get("stem") == "strided":
        return None
    if inner == 1:
        return name
    return f"wide_{name}_2" if inner == 2 and name in ("resnet50", "resnet101") else None


def _use_torch(file, about):
    constructor = _constructor(about)
    if constructor is None:
        return (
            "Names and layout are those of torchvision's ResNet, though torchvision has no function "
            "that makes one of this shape: build it with the table below."
        )
    changes = ["model.fc = torch.nn.Identity()"]
    channels = about.image_shape[-1]
    if about.encoder.get("stem", "imagenet") == "cifar":
        changes += [
            f"model.conv1 = torch.nn.Conv2d({channels}, 64, 3, padding=1, bias=False)",
            "model.maxpool = torch.nn.Identity()",
        ]
    elif channels != 3:
        changes += [f"model.conv1 = torch.nn.Conv2d({channels}, 64, 7, 2, padding=3, bias=False)"]
    return "In PyTorch, where preprocessing is yours to do:\n\n" + _code(
        "import safetensors.torch, torch, torchvision",
        f"model = torchvision.models.{constructor}()",
        *changes,
        f'model.load_state_dict(safetensors.torch.load_file("{file}"))',
        "features = model.eval()(images)  # float [N, C, H, W], as below -> [N, F]",
    )


def _view(view: Mapping[str, Any]) -> str:
    size, proportion = view.get("size"), view.get("proportion", 1.0)
    told = []
    if size is not None:
        how = f"{view.get('method', 'bilinear')}, antialias {view.get('antialias', True)}"
        told.append(f"Of these the middle {proportion:.3g} is resized to {size} pixels ({how}).")
    if view.get("mean") is None:
        told.append("They are not normalized further.")
    else:
        mean, std = (json.dumps(view[name]) for name in ("mean", "std"))
        told.append(f"Subtract the mean {mean} and divide by {std}.")
    return " ".join(told)


def _results(results):
    names = list(dict.fromkeys(row["protocol"] for rows in results.values() for row in rows))
    lines = [["features", *names], ["---"] + ["---:"] * len(names)]
    for name, rows in results.items():
        by = {row["protocol"]: f"{100 * row['accuracy']:.2f}" for row in rows}
        lines.append([name, *(by.get(protocol, "–") for protocol in names)])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    made = next((row["settings"] for rows in results.values() for row in rows), {})
    where = f"`{made.get('test_split', 'test')}` of `{made.get('data', 'the data')}`"
    return f"Accuracy in percent on {where}.\n\n{table}"


def _table(fields):
    lines = ["| | |", "|---|---|"] + [f"| {k} | {json.dumps(v)} |" for k, v in fields.items()]
    return "\n".join(lines)


def _code(*lines):
    return "\n".join(["```python", *lines, "```"])
