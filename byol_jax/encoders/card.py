"""The model card of an encoder file, in Markdown: origin, usage, preprocessing and accuracy."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from byol_jax.augment import geometry
from byol_jax.encoders.file import EncoderInfo

UNKNOWN = "unknown"  # training data of weights from another project
MARK = "<!-- written by byol_jax export -->"
_TORCHVISION = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
_NOT_IN_TORCHVISION = ("stages", "width", "widths", "stem_width", "always_project")


def place(file: Path) -> Path:
    """Returns the path of the model card that belongs to an encoder file.

    Args:
        file: The encoder file.

    Returns:
        README.md in the same folder. If that file exists and is not a model card of byol_jax, the
        path is the encoder file's with the suffix .md.
    """
    readme = file.with_name("README.md")
    if readme.exists() and MARK not in readme.read_text(encoding="utf-8", errors="replace"):
        return file.with_suffix(".md")
    return readme


def text(
    file: str,
    info: EncoderInfo,
    layout: str,
    *,
    num_features: int,
    results: Mapping[str, Sequence[Any]],
) -> str:
    """Returns the model card in Markdown, with the YAML header that model hubs read.

    Args:
        file: The name of the encoder file.
        info: The description of the encoder.
        layout: The layout of the arrays in the file, one of file.LAYOUTS.
        num_features: The number of features of an image.
        results: Accuracies in the form of evaluation.json: for the name of each kind of features, a
            list of {"protocol", "accuracy", "settings"}. It may be empty.

    Returns:
        The text of the model card.
    """
    sections = [
        _header(info, layout),
        _title(info),
        MARK,
        f"This encoder maps an image to {num_features} features. {_origin(info)} It has no "
        "classifier.",
        "## Usage",
        _usage_in_jax(file),
        *([_usage_in_torch(file, info)] if layout == "torchvision" else []),
        "## Preprocessing",
        _preprocessing(info),
        "## Network",
        _network(info),
        "## Results",
        _results(results) if results else "The accuracy was not measured.",
    ]
    return "\n\n".join(sections) + "\n"


def _title(info):
    name = info.encoder["name"]
    if info.data == UNKNOWN:
        return f"# {name} with {info.method} weights"
    return f"# {name} trained with {info.method}"


def _origin(info):
    if info.data == UNKNOWN:
        return (
            f"Another project trained it; byol_jax converted its weights from the {info.method} "
            "format."
        )
    return (
        f"It was trained with `{info.method}` on `{info.data}` for {info.step:,} steps by "
        f"byol_jax (version {info.commit})."
    )


def _preprocessing(info):
    height, width, channels = info.image_shape
    plural = "" if channels == 1 else "s"
    steps = [
        f"Resize the image with bicubic interpolation until it covers {height} x {width} pixels, "
        f"crop the center to {height} x {width} pixels, and convert it to {channels} "
        f"channel{plural}.",
        "Scale the values to [0, 1].",
        *_view_steps(info),
    ]
    numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))
    return (
        "`byol_jax.embed_folder` performs all of these steps. A call of the encoder performs all "
        f"but the first.\n\n{numbered}"
    )


def _header(info, layout):
    library = "timm" if layout == "torchvision" and _constructor(info) else "byol_jax"
    tags = ("self-supervised", info.method, "image-feature-extraction")
    lines = [f"library_name: {library}", "pipeline_tag: image-feature-extraction", "tags:"]
    return "\n".join(["---", *lines, *(f"- {tag}" for tag in tags), "---"])


def _usage_in_jax(file):
    return _code(
        "import byol_jax",
        f'encoder = byol_jax.load_encoder("{file}")',
        "features = encoder(images)  # uint8 [N, H, W, C] -> float32 [N, F], with preprocessing",
    )


def _constructor(info) -> str | None:
    """Returns the name of the torchvision.models function that builds this network.

    The stem of the network may be smaller: `_usage_in_torch` replaces it. Returns None if there is
    no such function.
    """
    name = info.encoder["name"]
    inner_width = info.encoder.get("inner_width", 1)
    has_other_shape = any(argument in info.encoder for argument in _NOT_IN_TORCHVISION)
    if has_other_shape or name not in _TORCHVISION or info.encoder.get("stem") == "strided":
        return None
    if inner_width == 1:
        return name
    return f"wide_{name}_2" if inner_width == 2 and name in ("resnet50", "resnet101") else None


def _usage_in_torch(file, info):
    constructor = _constructor(info)
    if constructor is None:
        return (
            "The names and the layout of the arrays are those of torchvision's ResNet, but "
            "torchvision has no function for this architecture. Build the network from the table "
            "below."
        )
    changes = ["model.fc = torch.nn.Identity()"]
    channels = info.image_shape[-1]
    if info.encoder.get("stem", "imagenet") == "cifar":
        changes += [
            f"model.conv1 = torch.nn.Conv2d({channels}, 64, 3, padding=1, bias=False)",
            "model.maxpool = torch.nn.Identity()",
        ]
    elif channels != 3:
        changes += [f"model.conv1 = torch.nn.Conv2d({channels}, 64, 7, 2, padding=3, bias=False)"]
    return "In PyTorch, preprocess the images yourself as described below:\n\n" + _code(
        "import safetensors.torch, torch, torchvision",
        f"model = torchvision.models.{constructor}()",
        *changes,
        f'model.load_state_dict(safetensors.torch.load_file("{file}"))',
        "features = model.eval()(images)  # preprocessed float [N, C, H, W] -> [N, F]",
    )


def _view_steps(info) -> list[str]:
    view = info.view
    steps = []
    if view.get("size") is not None:
        height, width = geometry.height_and_width(view["size"])
        proportion = view.get("proportion", 1.0)
        method = view.get("method", "bilinear")
        antialiasing = "with" if view.get("antialias", True) else "without"
        image_height, image_width, _ = info.image_shape
        if proportion != 1 or image_height * width != image_width * height:
            steps.append(_crop_step(height, width, proportion))
        steps.append(
            f"Resize it to {height} x {width} pixels with {method} interpolation, {antialiasing} "
            "antialiasing."
        )
    if view.get("mean") is None:
        steps.append("Do not normalize it further.")
    else:
        mean = json.dumps(view["mean"])
        std = json.dumps(view["std"])
        steps.append(f"Subtract the mean {mean} and divide by the standard deviation {std}.")
    return steps


def _crop_step(height, width, proportion):
    shape = "square" if height == width else f"box with the aspect ratio {height}:{width}"
    if proportion == 1:
        return f"Crop the largest central {shape}."
    return f"Crop the central {shape} with {proportion:.3g} times the largest possible side length."


def _network(info):
    table = _table({**info.encoder, "norm": info.norm, **(info.patches or {})})
    if info.patches is None:
        return table
    return (
        "The encoder was trained on patches of images. The features of an image are the mean over "
        f"its patches; `size` and `stride` are those of the patches.\n\n{table}"
    )


def _results(results):
    protocols = list(dict.fromkeys(row["protocol"] for rows in results.values() for row in rows))
    lines = [["features", *protocols], ["---"] + ["---:"] * len(protocols)]
    for name, rows in results.items():
        accuracies = {row["protocol"]: f"{100 * row['accuracy']:.2f}" for row in rows}
        lines.append([name, *(accuracies.get(protocol, "–") for protocol in protocols)])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    settings = next((row["settings"] for rows in results.values() for row in rows), {})
    split = settings.get("test_split", "test")
    data = settings.get("data", "the data")
    return (
        f"The table shows the accuracy in percent on `{split}` of `{data}`. Each row is a kind of "
        f"features, and each column an evaluation protocol.\n\n{table}"
    )


def _table(fields):
    rows = [f"| {name} | {json.dumps(value)} |" for name, value in fields.items()]
    return "\n".join(["| argument | value |", "|---|---|", *rows])


def _code(*lines):
    return "\n".join(["```python", *lines, "```"])
