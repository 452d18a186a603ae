"""Check of the host: can it decode as many images as a train step takes?"""

import io
import time
from collections.abc import Iterator

import numpy as np
from PIL import Image

from byol_jax import data
from byol_jax.commands.doctor.findings import OK, WARNING, Finding
from byol_jax.data import crops
from byol_jax.system import cores

STEP_FLOPS = 47e9  # per image of two views: SimCLR with a ResNet-50 at 224 pixels, by `plan`
_UTILIZATION = 0.4  # of the rate of a matrix product, which a good train step reaches
_SECONDS = 1.0
_SIDES = (375, 500)  # the average size of an ImageNet image


def check(flops: float) -> Iterator[Finding]:
    """Measures how many images per second this host decodes and crops to two views.

    Args:
        flops: Operations per second of all devices of this host in bfloat16 matrix products.

    Yields:
        The finding.
    """
    num_cores = cores.count()
    rate = _decode_rate() * num_cores
    wanted = _UTILIZATION * flops / STEP_FLOPS
    enough = rate >= wanted
    yield Finding(
        "decoding",
        f"{rate:,.0f} images/s on {num_cores} cores (JPEG of 375 x 500 pixels to two crops of "
        f"224); a ResNet-50 step at 224 pixels takes about {wanted:,.0f}",
        OK if enough else WARNING,
        ""
        if enough
        else "run prepare with a smaller --max_side, or use a host with more cores per device",
    )


def _decode_rate() -> float:
    """Returns the images per second of one core."""
    encoded = _jpeg()
    settings = data.Crops(
        boxes=({"area": (0.08, 1.0), "attempts": 10},) * 2,
        size=(224, 224),
        method="bilinear",
        antialias=True,
    )
    generator = np.random.default_rng(0)
    crops.draw(encoded, generator, settings, channels=3)
    count = 0
    start = time.perf_counter()
    while (seconds := time.perf_counter() - start) < _SECONDS:
        crops.draw(encoded, generator, settings, channels=3)
        count += 1
    return count / seconds


def _jpeg() -> bytes:
    """Returns a JPEG of about 40 kB, like a photograph: smooth, with some noise."""
    rng = np.random.default_rng(0)
    height, width = _SIDES
    coarse = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    noisy = np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=90)
    return file.getvalue()
