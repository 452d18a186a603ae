"""How many images a second one core of the host brings in: python -m byol_jax bench input."""

import io

import numpy as np
from ml_collections import ConfigDict

from byol_jax import augment, data
from byol_jax.builders import inputs, views
from byol_jax.commands.bench import timing

_BATCH, _BATCHES = 32, 8


def measure(config: ConfigDict) -> dict[str, float]:
    """Images per second of one core, from the stored bytes to what is sent to the devices.

    Prints them and returns them by name: "byol_jax" and, where the extra `parity` is installed,
    "torchvision": the same pictures decoded by Pillow and, where the host crops, each view cut by
    RandomResizedCrop; then also "ratio", the median over rounds that alternate between the two.
    Data that would be resident are read as if they were streamed.
    """
    config = config.copy_and_resolve_references()
    if config.data.mode == "auto":
        config.data.mode = "streamed"
    source = inputs.open_split(config.data, config.data.train_split)
    images = inputs.choose(config, source)
    rng = np.random.default_rng(config.seed)
    batches = rng.integers(0, len(source), (_BATCHES, _BATCH)).astype(np.int32)
    with timing.one_core():
        calls = {"byol_jax": _ours(source, images, config.seed, batches)}
        try:
            calls["torchvision"] = _torchvisions(source, images, config, batches)
        except ImportError as error:
            print(
                f"without torchvision, for {error.name} is missing: pip install 'byol_jax[parity]'"
            )
        seconds = timing.alternate(calls)
    cut = f"{len(images.crops.boxes)} crops of each" if images.crops else "whole"
    print(f"{config.data.name}: {len(source):,} pictures, read {cut}")
    return timing.report(seconds, batches.size, "images/s of one core")


def _ours(source, images, seed, batches):
    reader = data.Reader(source, images.crops, seed)
    rows = np.arange(batches.shape[1], dtype=np.int32)

    def call():
        for step, index in enumerate(batches):
            reader(index, step, rows)

    return call


def _torchvisions(source, images, config, batches):
    import torch
    from PIL import Image
    from torchvision import transforms

    torch.set_num_threads(1)
    crops = []
    for s in views.settings_of(config).values() if images.crops else ():
        how = {"interpolation": transforms.InterpolationMode[s.method.upper()]}
        size = augment.height_and_width(s.size)
        crops.append(transforms.RandomResizedCrop(size, tuple(s.area), tuple(s.ratio), **how))
    mode = {1: "L", 3: "RGB"}[source.num_channels]

    def call():
        for index in batches:
            for record in source.read(index):
                with Image.open(io.BytesIO(record["image"])) as file:
                    picture = file.convert(mode)
                for view in [crop(picture) for crop in crops] or [picture]:
                    np.asarray(view)

    return call
