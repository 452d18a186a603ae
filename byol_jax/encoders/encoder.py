"""A trained encoder as a function from images to features, and how to load one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from byol_jax import augment, errors, networks, workdir
from byol_jax.encoders import file
from byol_jax.encoders.file import EncoderInfo
from byol_jax.system import devices, paths


class Encoder:
    """A trained image encoder: a callable that maps images to features.

    A call preprocesses the images and runs the network in evaluation mode and float32. It uses all
    devices of this process.

    Example:
        >>> encoder = byol_jax.load_encoder("runs/quickstart")
        >>> features = encoder(images)  # uint8 [N, H, W, C] -> float32 [N, F]

    Args:
        params: The parameters of the network, without projector and predictor.
        stats: The batch-norm statistics of the network.
        info: The description of the network and of the preprocessing.

    Attributes:
        params: The parameters of the network.
        stats: The batch-norm statistics of the network.
        info: The description of the encoder, as in its file.
        network: The network without preprocessing. It maps preprocessed images [B, h, w, C] to
            features [B, F].
        view: The preprocessing. It maps images [B, H, W, C] to float32 [B, h, w, C]; calling the
            encoder includes it.
        num_features: The number of features F of an image.

    Raises:
        UserError: `info` is invalid, or `params` and `stats` do not fit the network that it
            describes.
    """

    def __init__(self, params: Any, stats: Any, info: EncoderInfo):
        self.params = params
        self.stats = stats
        self.info = info
        self.network = _build_network(info, num_arrays=len(jax.tree.leaves(params)))
        self.view = _build_view(info)
        self.num_features = _count_features(self.network, params, stats, info, self.view)
        self._sharded = devices.sharded()
        self._placed = None

        def apply(params, stats, images):
            features, _ = self.network.apply(params, stats, self.view(images), train=False)
            return features

        self._apply = jax.jit(apply, out_shardings=self._sharded)

    def __call__(self, images: np.ndarray, *, batch_size: int = 256) -> np.ndarray:
        """Computes the features of images.

        Args:
            images: Images of shape [N, H, W, C]; N may be 0. The dtype is uint8, uint16 or float;
                floats are in [0, 1]. (H, W, C) is usually `info.image_shape`. If `info.view`
                has a size, the preprocessing crops and resizes images of any height and width.
            batch_size: The maximum number of images per forward pass, over all devices, rounded up
                to a multiple of the number of devices. A smaller N is padded to a power of two, so
                that few shapes are compiled.

        Returns:
            Features of shape [N, F], float32, in the order of the images.

        Raises:
            UserError: `images` does not have shape [N, H, W, C] with the encoder's C channels.
        """
        channels = self.info.image_shape[-1]
        if np.ndim(images) != 4 or np.shape(images)[-1] != channels:
            shape = list(np.shape(images))
            hint = "; add a batch axis" if np.ndim(images) == 3 else ""
            raise errors.UserError(
                f"the encoder takes images of shape [N, H, W, {channels}], not {shape}{hint}."
            )
        num_devices = self._sharded.num_devices
        size = min(batch_size, 1 << max(len(images) - 1, 0).bit_length())
        size = -(-size // num_devices) * num_devices
        batches = [self._batch(images[i : i + size], size) for i in range(0, len(images), size)]
        return np.concatenate([np.zeros((0, self.num_features), np.float32), *batches])

    def _batch(self, images, size):
        """Returns the features of one batch, which has at most `size` images."""
        images = np.asarray(images)
        missing = size - len(images)
        if missing:
            # Repeat the last image, so that all batches have one shape and compile once.
            images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        if self._placed is None:
            self._placed = jax.device_put((self.params, self.stats), devices.replicated())
        features = self._apply(*self._placed, jax.device_put(images, self._sharded))
        return np.asarray(features, np.float32)[: size - missing]


def load(path: str | Path) -> Encoder:
    """Loads a trained encoder from an encoder file or from the workdir of a finished run.

    The commands `train`, `export` and `import` write encoder files. No code in the file is run.

    Example:
        >>> import byol_jax
        >>> encoder = byol_jax.load_encoder("runs/quickstart")
        >>> features = encoder(images)  # uint8 [N, H, W, C] -> float32 [N, F]

    Args:
        path: An encoder file (`*.safetensors`), or a workdir, which contains
            `encoder.safetensors`.

    Returns:
        The encoder, a callable that maps images [N, H, W, C] to features [N, F]. The images are
        uint8 or uint16, or float in [0, 1].

    Raises:
        FileNotFoundError: There is no such file, or the workdir has no encoder file.
        UserError: The file is not a valid encoder file.
    """
    path = paths.local(path)
    if path.is_dir():
        folder = path
        path = folder / workdir.ENCODER
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} has no {workdir.ENCODER}, which `train` writes when it finishes. Export "
                "the newest checkpoint with "
                f"`python -m byol_jax export --workdir={folder} --out={path}`."
            )
    params, stats, info = file.read(path)
    return Encoder(params, stats, info)


def _build_network(info: EncoderInfo, *, num_arrays: int) -> networks.Network:
    """Builds the network in float32; raises UserError if the file has too few arrays for it."""
    arguments: dict[str, Any] = dict(info.encoder)
    factory = networks.ENCODERS.get(arguments.pop("name"))
    stages = np.ravel(arguments.get("stages", ()))
    if factory is None or info.norm not in networks.NORMS or np.sum(stages) > num_arrays:
        raise errors.UserError(
            f"cannot build the encoder {info.encoder} with {info.norm} norm: the encoder's or "
            "the norm's name is unknown, or the file has fewer arrays than the network."
        )
    try:
        arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()}
        network = factory(batch_norm=networks.NORMS[info.norm], **arguments)
        return network if info.patches is None else _average_patches(network, info.patches)
    except TypeError as error:
        raise errors.UserError(f"cannot build the encoder {info.encoder}: {error}.") from error


def _average_patches(encoder, patches) -> networks.Network:
    """Returns a network that averages, for each image, the features of its patches: [B, F]."""
    patchwise = networks.patchwise(encoder, **patches)

    def apply(params, stats, x, *, train):
        features, stats = patchwise.apply(params, stats, x, train=train)  # [B, G, G', F]
        return jnp.mean(features, axis=(1, 2)), stats

    return networks.Network(patchwise.init, apply)


def _build_view(info: EncoderInfo) -> Callable[[jax.Array], jax.Array]:
    """Returns the preprocessing function, from images [B, H, W, C] to float32 [B, h, w, C]."""
    try:
        return jax.vmap(augment.evaluation_view(**info.view))
    except TypeError as error:
        raise errors.UserError(
            f"cannot build the encoder's preprocessing from its settings {info.view}: {error}."
        ) from error


def _count_features(network, params, stats, info, view) -> int:
    """Returns the number of features; raises UserError if an array does not fit the network."""
    images = jax.ShapeDtypeStruct((1, *info.image_shape), info.dtype)

    def compute_features(params, stats, key, images):
        x = view(images)
        params_and_stats = networks.starting_from(network, params, stats).init(key, x)
        features, _ = network.apply(*params_and_stats, x, train=False)
        return features

    try:
        arguments = (params, stats, jax.random.key(0), images)
        return jax.eval_shape(compute_features, *arguments).shape[-1]
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        cause = lines[0]
        raise errors.UserError(
            f"the encoder {info.encoder} cannot process images of shape {info.image_shape} with "
            f"these weights: {cause}"
        ) from error
