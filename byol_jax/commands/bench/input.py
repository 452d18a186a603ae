"""`bench input`: the number of images per second that the host reads and decodes."""

import concurrent.futures
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from byol_jax import augment, data, errors
from byol_jax.builders import inputs, views
from byol_jax.commands.bench import timing
from byol_jax.system import cores

_BATCH_SIZE = 32
_NUM_BATCHES = 8


def measure(config: ConfigDict) -> dict[str, Any]:
    """Measures how many images per second the host reads, decodes and crops for training.

    All cores of this process are used, by one thread each. The same images are also measured with
    the peers that are installed, in rounds that alternate between all: torchvision's transforms
    (v2) on Pillow images and on tensors, with the extra `parity`; and, if the host crops, DALI's
    pipeline for CPUs. A data set that would be resident on the devices is measured as if it were
    streamed. Prints the results.

    Args:
        config: The experiment's config.

    Returns:
        "cores", and images per second as "byol_jax", "torchvision", "torchvision_tensors" and
        "dali"; with a peer also "ratios", the speed of byol_jax divided by that of each peer, the
        median over the rounds.
    """
    config = config.copy_and_resolve_references()
    if config.data.mode == "auto":
        config.data.mode = "streamed"
    source = inputs.open_split(config.data, config.data.train_split)
    images = inputs.choose(config, source)
    rng = np.random.default_rng(config.seed)
    batches = rng.integers(0, len(source), (_NUM_BATCHES, _BATCH_SIZE)).astype(np.int32)
    num_cores = cores.count()
    contents = f"{len(images.crops.boxes)} crops of each" if images.crops else "whole"
    print(f"{config.data.name}: {len(source):,} images, read {contents}")
    with concurrent.futures.ThreadPoolExecutor(num_cores) as pool:
        calls = {"byol_jax": _make_own_call(source, images.crops, config.seed, batches, pool)}
        for name, make in PEERS.items():
            try:
                calls[name] = make(source, images.crops, config, batches, pool)
            except (ImportError, errors.UserError) as error:
                print(f"skipping {name}: {_reason(error)}")
        seconds = timing.alternate(calls)
    unit = "images/s on one core" if num_cores == 1 else f"images/s on {num_cores} cores"
    return {"cores": num_cores, **timing.report(seconds, batches.size, unit)}


def _reason(error: ImportError | errors.UserError) -> str:
    if not isinstance(error, ImportError):
        return str(error)
    if (error.name or "").startswith("nvidia"):
        return "DALI is missing; run pip install nvidia-dali-cuda120"
    return f"{error.name} is missing; run pip install 'byol_jax[parity]'"


def _make_own_call(
    source: data.Source,
    crops: data.Crops | None,
    seed: int,
    batches: np.ndarray,
    pool: concurrent.futures.Executor,
) -> Callable[[], None]:
    reader = data.Reader(source, crops, seed)
    rows = np.arange(batches.shape[1], dtype=np.int32)

    def call():
        list(pool.map(lambda step: reader(batches[step], step, rows), range(len(batches))))

    return call


def _make_torchvision_call(source, crops, config, batches, pool) -> Callable[[], None]:
    import torch  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    mode = {1: "L", 3: "RGB"}[source.num_channels]

    def decode(encoded):
        with Image.open(io.BytesIO(encoded)) as file:
            return file.convert(mode)

    transforms = _torchvision_crops(crops, config)

    def process(encoded):
        picture = decode(encoded)
        for view in [crop(picture) for crop in transforms] or [picture]:
            np.asarray(view)

    return _each(process, source, batches, pool)


def _make_tensor_call(source, crops, config, batches, pool) -> Callable[[], None]:
    import torch  # pyright: ignore[reportMissingImports]
    from torchvision import io as torchvision_io  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    mode = {1: "GRAY", 3: "RGB"}[source.num_channels]
    mode = torchvision_io.ImageReadMode[mode]
    transforms = _torchvision_crops(crops, config)

    def process(encoded):
        encoded = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
        picture = torchvision_io.decode_image(encoded, mode)
        for crop in transforms:
            crop(picture)

    return _each(process, source, batches, pool)


def _torchvision_crops(crops, config) -> list[Callable[[Any], Any]]:
    from torchvision.transforms import v2  # pyright: ignore[reportMissingImports]

    if crops is None:
        return []
    return [
        v2.RandomResizedCrop(
            crops.size,
            tuple(settings.area),
            tuple(settings.ratio),
            interpolation=v2.InterpolationMode[settings.method.upper()],
        )
        for settings in views.settings_of(config).values()
    ]


def _each(process, source, batches, pool) -> Callable[[], None]:
    def read(index):
        for record in source.read(index):
            process(record["image"])

    def call():
        list(pool.map(read, batches))

    return call


def _make_dali_call(source, crops, config, batches, pool) -> Callable[[], None]:
    del pool  # DALI has its own threads
    from nvidia.dali import fn, pipeline_def, types  # pyright: ignore[reportMissingImports]

    if crops is None:
        raise errors.UserError("it is measured only when the host crops")
    kinds = {"bilinear": types.INTERP_LINEAR, "bicubic": types.INTERP_CUBIC}
    color = {1: types.GRAY, 3: types.RGB}[source.num_channels]

    def read(step):
        records = source.read(batches[step % len(batches)])
        return [np.frombuffer(record["image"], np.uint8) for record in records]

    @pipeline_def(
        batch_size=_BATCH_SIZE,
        num_threads=cores.count(),
        device_id=None,
        seed=config.seed,
        prefetch_queue_depth=1,
        exec_async=False,
        exec_pipelined=False,
    )
    def pipeline():
        encoded = fn.external_source(source=read, batch=True, dtype=types.UINT8)
        pictures = fn.decoders.image(encoded, device="cpu", output_type=color)
        return tuple(
            fn.random_resized_crop(
                pictures,
                size=augment.height_and_width(crops.size),
                random_area=tuple(settings.area),
                random_aspect_ratio=tuple(settings.ratio),
                interp_type=kinds[settings.method],
                antialias=crops.antialias,
            )
            for settings in views.settings_of(config).values()
        )

    built: Any = pipeline()
    built.build()

    def call():
        for _ in batches:
            built.run()

    return call


PEERS = {
    "torchvision": _make_torchvision_call,
    "torchvision_tensors": _make_tensor_call,
    "dali": _make_dali_call,
}
