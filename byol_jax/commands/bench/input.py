"""`bench input`: the number of images per second that the host reads and decodes."""

import io
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from byol_jax import data
from byol_jax.builders import inputs, views
from byol_jax.commands.bench import timing

_BATCH_SIZE = 32
_NUM_BATCHES = 8


def measure(config: ConfigDict) -> dict[str, float]:
    """Measures how many images per second one CPU core reads, decodes and crops for training.

    If the extra `parity` is installed, also measures the same images decoded by Pillow and, if the
    host crops, cropped to each view by torchvision's RandomResizedCrop, in rounds that alternate
    between the two. A data set that would be resident on the devices is measured as if it were
    streamed. Prints the results.

    Args:
        config: The experiment's config.

    Returns:
        Images per second as "byol_jax" and "torchvision", and their "ratio", the median over the
        rounds. Without torchvision, only "byol_jax".
    """
    config = config.copy_and_resolve_references()
    if config.data.mode == "auto":
        config.data.mode = "streamed"
    source = inputs.open_split(config.data, config.data.train_split)
    images = inputs.choose(config, source)
    rng = np.random.default_rng(config.seed)
    batches = rng.integers(0, len(source), (_NUM_BATCHES, _BATCH_SIZE)).astype(np.int32)
    with timing.one_core():
        calls = {"byol_jax": _make_own_call(source, images.crops, config.seed, batches)}
        try:
            calls["torchvision"] = _make_torchvision_call(source, images.crops, config, batches)
        except ImportError as error:
            print(
                f"skipping torchvision: {error.name} is missing; run pip install 'byol_jax[parity]'"
            )
        seconds = timing.alternate(calls)
    contents = f"{len(images.crops.boxes)} crops of each" if images.crops else "whole"
    print(f"{config.data.name}: {len(source):,} images, read {contents}")
    return timing.report(seconds, batches.size, "images/s on one core")


def _make_own_call(
    source: data.Source, crops: data.Crops | None, seed: int, batches: np.ndarray
) -> Callable[[], None]:
    reader = data.Reader(source, crops, seed)
    rows = np.arange(batches.shape[1], dtype=np.int32)

    def call():
        for step, index in enumerate(batches):
            reader(index, step, rows)

    return call


def _make_torchvision_call(
    source: data.Source, crops: data.Crops | None, config: ConfigDict, batches: np.ndarray
) -> Callable[[], None]:
    import torch  # pyright: ignore[reportMissingImports]
    from PIL import Image
    from torchvision import transforms  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    view_crops = []
    if crops is not None:
        for settings in views.settings_of(config).values():
            crop = transforms.RandomResizedCrop(
                crops.size,
                tuple(settings.area),
                tuple(settings.ratio),
                interpolation=transforms.InterpolationMode[settings.method.upper()],
            )
            view_crops.append(crop)
    mode = {1: "L", 3: "RGB"}[source.num_channels]

    def call():
        for index in batches:
            for record in source.read(index):
                with Image.open(io.BytesIO(record["image"])) as file:
                    picture = file.convert(mode)
                for view in [crop(picture) for crop in view_crops] or [picture]:
                    np.asarray(view)

    return call
