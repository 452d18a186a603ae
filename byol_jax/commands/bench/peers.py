"""The peers of `bench step`: the same train step in other libraries."""

import contextlib
from collections.abc import Callable, Iterator

import jax
import numpy as np
from ml_collections import ConfigDict

from byol_jax import errors

NAMES = ("torch", "torch_compile", "lightly", "stable_pretraining")
ENCODERS = ("resnet18", "resnet34", "resnet50")
_STEMS = ("imagenet", "cifar")
# The peers pad as PyTorch does, and choose the form of their convolutions themselves.
_ENCODER_ARGUMENTS = ("convolution", "name", "stem", "padding", "zero_last_scale")


def make(name: str, config: ConfigDict, views: np.ndarray) -> Callable[[], None]:
    """Makes a function that performs one train step of SimCLR in another library.

    The peers differ from byol_jax and from each other only as they print: PyTorch computes both
    views as one batch if the config does, with channels last; lightly computes one view after the
    other, as its examples do; the projector of stable-pretraining has no batch norm. All use SGD
    with momentum, regardless of the config's optimizer.

    Args:
        name: One of NAMES.
        config: The experiment's config.
        views: The two views of a batch, float32 [B, 2, h, w, 3].

    Returns:
        A function without arguments that takes one step on these views and waits for it.

    Raises:
        UserError: There is no such peer, or the config has another method, another precision,
            several devices, or a network that the peers do not have.
        MissingExtra: The peer is not installed.
    """
    if name not in NAMES:
        names = ", ".join(NAMES)
        raise errors.UserError(f"unknown peer {name!r}; choose one of {names}.")
    _check_supported(config)
    with _naming_extra(name):
        if name == "stable_pretraining":
            from byol_jax.commands.bench import stable_pretraining_step

            return stable_pretraining_step.make(config, views)
        from byol_jax.commands.bench import torch_step

        if name == "lightly":
            return torch_step.make_lightly(config, views)
        return torch_step.make(config, views, compile=name == "torch_compile")


@contextlib.contextmanager
def _naming_extra(name: str) -> Iterator[None]:
    """Turns a failed import into an error that names what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if name == "stable_pretraining":
            raise errors.UserError(
                f"the peer {name} needs the package {error.name}, which is missing; run pip "
                "install stable-pretraining."
            ) from error
        raise errors.missing_extra("parity", f"the peer {name} needs {error.name}") from error


def _check_supported(config: ConfigDict) -> None:
    encoder = config.encoder
    norm = config.batch_norm
    is_plain_norm = norm.get("kind", "batch") == "batch" and norm.get("groups", 1) <= 1
    unsupported = {
        f"method {config.method.name!r}": config.method.name != "simclr",
        f"precision {config.precision!r}": config.precision not in ("float32", "bfloat16"),
        f"encoder {encoder.name!r}": encoder.name not in ENCODERS,
        f"stem {encoder.get('stem')!r}": encoder.get("stem", "imagenet") not in _STEMS,
        f"{jax.device_count()} devices": jax.device_count() > 1,
        f"{config.microbatches} microbatches": config.microbatches > 1,
        f"batch norm {dict(norm)}": not is_plain_norm,
        **{f"encoder.{name}": name not in _ENCODER_ARGUMENTS for name in encoder},
    }
    problems = [problem for problem, applies in unsupported.items() if applies]
    if problems:
        encoders = ", ".join(ENCODERS)
        stems = " or ".join(_STEMS)
        raise errors.UserError(
            f"--peer does not support {problems[0]}. It supports simclr on one device, in float32 "
            "or bfloat16, in one microbatch, with ungrouped batch norm, and with one of the "
            f"encoders {encoders} and the stem {stems}."
        )
