"""A trained network as a function from images to features."""

from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from byol_jax import augment, errors, networks, workdir
from byol_jax.encoders import file
from byol_jax.encoders.file import About
from byol_jax.system import devices, paths


class Encoder:
    """encoder(images [N, H, W, C]) -> features, float32 [N, F], on all devices of this process.

    params, stats: of the network alone.  about: what the file says.  network: without, view: the
    preprocessing, images [B, H, W, C] -> float [B, h, w, C]; a call includes it.  num_features: F.
    """

    def __init__(self, params: chex.ArrayTree, stats: chex.ArrayTree, about: About):
        """Raises ValueError when `about` describes another network than the arrays are of."""
        self.params, self.stats, self.about = params, stats, about
        self.network = network(about, num_arrays=len(jax.tree.leaves(params)))
        self.view = evaluation_view(about)
        self.num_features = _check(self.network, params, stats, about, self.view)
        self._sharded = devices.sharded()
        self._placed = None

        def apply(params, stats, images):
            return self.network.apply(params, stats, self.view(images), train=False)[0]

        self._apply = jax.jit(apply, out_shardings=self._sharded)

    def __call__(self, images: np.ndarray, *, batch_size: int = 256) -> np.ndarray:
        """Features, float32 [N, F], in the order of the images; N may be 0.

        images: uint8 or uint16, or float in [0, 1], [N, H, W, C] as the training data had them
            (about.image_shape); other sizes are cropped and resized where about.view has a size.
        batch_size: images that go to the devices at once; fewer are filled up to a power of two, so
            that few programs are compiled.

        Raises ValueError for another rank or number of channels.
        """
        channels = self.about.image_shape[-1]
        if np.ndim(images) != 4 or np.shape(images)[-1] != channels:
            raise errors.UserError(
                f"the encoder takes images [N, H, W, {channels}] and got {list(np.shape(images))}"
                + ("; add an axis for the batch." if np.ndim(images) == 3 else ".")
            )
        num_devices = self._sharded.num_devices
        size = min(batch_size, 1 << max(len(images) - 1, 0).bit_length())
        size = -(-size // num_devices) * num_devices
        found = [self._batch(images[i : i + size], size) for i in range(0, len(images), size)]
        return np.concatenate([np.zeros((0, self.num_features), np.float32), *found])

    def _batch(self, images, size):
        """Filled up by its last image, so that every batch has one shape."""
        images = np.asarray(images)
        missing = size - len(images)
        if missing:
            images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        if self._placed is None:
            self._placed = jax.device_put((self.params, self.stats), devices.replicated())
        features = self._apply(*self._placed, jax.device_put(images, self._sharded))
        return np.asarray(features, np.float32)[: size - missing]


def load(path: str | Path) -> Encoder:
    """The encoder in a file that `train`, `export` or `import` wrote, or in the workdir of a run.

    Raises FileNotFoundError where there is none, ValueError where the file is something else.
    """
    path = paths.local(path)
    if path.is_dir():
        folder = path
        path = folder / workdir.ENCODER
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} has no {workdir.ENCODER}, which `train` writes at its end; write it of the "
                f"newest checkpoint by `python -m byol_jax export --workdir={folder} --out={path}`."
            )
    return Encoder(*file.read(path))


def network(about: About, *, num_arrays: int) -> networks.Network:
    """The network that `about` describes, to compute in float32; it has num_arrays at most.

    Raises ValueError where there is no such network.
    """
    arguments: dict[str, Any] = dict(about.encoder)
    factory = networks.ENCODERS.get(arguments.pop("name"))
    stages = np.ravel(arguments.get("stages", ()))
    if factory is None or about.norm not in networks.NORMS or np.sum(stages) > num_arrays:
        raise errors.UserError(f"there is no encoder {about.encoder} with {about.norm} norm.")
    try:
        arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()}
        made = factory(batch_norm=networks.NORMS[about.norm], **arguments)
        return made if about.patches is None else _mean_of_patches(made, about.patches)
    except TypeError as error:
        raise errors.UserError(f"there is no encoder {about.encoder}: {error}.") from error


def _mean_of_patches(encoder, patches) -> networks.Network:
    """The features of an image [B, F] as the mean over its patches'."""
    each = networks.patchwise(encoder, **patches)

    def apply(params, stats, images, *, train):
        features, stats = each.apply(params, stats, images, train=train)  # [B, G, G', F]
        return jnp.mean(features, axis=(1, 2)), stats

    return networks.Network(each.init, apply)


def evaluation_view(about: About):
    """The preprocessing of `about`, images [B, H, W, C] -> [B, h, w, C], float."""
    try:
        return jax.vmap(augment.evaluation_view(**about.view))
    except TypeError as error:
        raise errors.UserError(f"there is no view {about.view}: {error}.") from error


def _check(made, params, stats, about, view) -> int:
    """Raises ValueError naming the first array that the network wants otherwise; gives F."""
    images = jax.ShapeDtypeStruct((1, *about.image_shape), about.dtype)

    def features(key, images):
        seen = view(images)
        return made.apply(
            *networks.starting_from(made, params, stats).init(key, seen), seen, train=False
        )

    try:
        return jax.eval_shape(features, jax.random.key(0), images)[0].shape[-1]
    except Exception as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise errors.UserError(
            f"no encoder {about.encoder} for {about.image_shape}: {cause}"
        ) from error
