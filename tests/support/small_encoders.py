"""Small encoders for tests, with random weights instead of trained or constant ones."""

import jax
import jax.numpy as jnp
import numpy as np

from byol_jax import encoders, networks

RESNET = {"name": "resnet_tiny"}


def info(**changes) -> encoders.EncoderInfo:
    """Returns the description of a resnet_tiny for grey images of 8 x 8 pixels, with changes."""
    fields = {
        "encoder": RESNET,
        "norm": "batch",
        "image_shape": (8, 8, 1),
        "dtype": "uint8",
        "view": {"size": 8, "mean": [0.4], "std": [0.2]},
        "patches": None,
        "method": "byol",
        "data": "made up",
        "step": 7,
        "commit": "abc",
    }
    return encoders.EncoderInfo(**{**fields, **changes})


def arrays(seed: int = 0, **changes) -> tuple[dict, dict]:
    """Returns random parameters and statistics for the encoder that `info` describes."""
    described = info(**changes)
    arguments = {k: v for k, v in described.encoder.items() if k != "name"}
    norm = networks.NORMS[described.norm]
    net = networks.ENCODERS[described.encoder["name"]](batch_norm=norm, **arguments)
    images = jax.ShapeDtypeStruct((1, *described.image_shape), jnp.float32)
    trees = jax.eval_shape(net.init, jax.random.key(0), images)
    rng = np.random.default_rng(seed)

    def draw(path, x):
        if path[-1].key in ("scale", "var"):
            return rng.uniform(0.5, 1.5, x.shape).astype(np.float32)
        return (rng.normal(size=x.shape) / max(np.prod(x.shape[:-1]), 1) ** 0.5).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, trees)


def make(seed: int = 0, **changes) -> encoders.Encoder:
    """Returns the encoder with the random arrays and the description."""
    return encoders.Encoder(*arrays(seed, **changes), info(**changes))


def images(count: int, shape=(8, 8, 1)) -> np.ndarray:
    """Returns random images, uint8 [count, *shape]."""
    return np.random.default_rng(1).integers(0, 256, (count, *shape), dtype=np.uint8)
