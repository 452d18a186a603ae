"""Small encoders for tests: nothing of them is trained, and nothing of them is trivial."""

import jax
import jax.numpy as jnp
import numpy as np

from byol_jax import encoders, networks

RESNET = {"name": "resnet_tiny"}


def about(**changes) -> encoders.About:
    """Of resnet_tiny on grey pictures of 8 x 8."""
    told = {
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
    return encoders.About(**{**told, **changes})


def arrays(seed: int = 0, **changes) -> tuple[dict, dict]:
    """Params and stats of what `about` tells, all of them random."""
    told = about(**changes)
    arguments = {k: v for k, v in told.encoder.items() if k != "name"}
    net = networks.ENCODERS[told.encoder["name"]](batch_norm=networks.NORMS[told.norm], **arguments)
    images = jax.ShapeDtypeStruct((1, *told.image_shape), jnp.float32)
    trees = jax.eval_shape(net.init, jax.random.key(0), images)
    rng = np.random.default_rng(seed)

    def draw(path, x):
        if path[-1].key in ("scale", "var"):
            return rng.uniform(0.5, 1.5, x.shape).astype(np.float32)
        return (rng.normal(size=x.shape) / max(np.prod(x.shape[:-1]), 1) ** 0.5).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, trees)


def make(seed: int = 0, **changes) -> encoders.Encoder:
    """The encoder of both."""
    return encoders.Encoder(*arrays(seed, **changes), about(**changes))


def images(count: int, shape=(8, 8, 1)) -> np.ndarray:
    """Random pictures, uint8 [count, *shape]."""
    return np.random.default_rng(1).integers(0, 256, (count, *shape), dtype=np.uint8)
