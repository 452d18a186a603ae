"""Every config builds at its full size, and its every part takes a step."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from byol_jax import train_state, train_step
from byol_jax.builders import parts

FOLDER = Path(__file__).parent.parent / "configs"
FILES = sorted(str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*.py"))
SHAPES = {
    "imagenet": ((256, 256, 3), 1_281_167, 1000),
    "cifar10": ((32, 32, 3), 50_000, 10),
    "icons": ((32, 32, 3), 4_016, 8),
}


EMBEDDED = ((28, 28, 1), 10_000, 10)


def _config(file):
    spec = importlib.util.spec_from_file_location("config", FOLDER / file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build(config, num_examples, num_classes, image_shape):
    built = parts.build(
        config,
        num_examples=num_examples,
        num_classes=num_classes,
        num_channels=image_shape[-1],
        axis_name=None,
    )

    def create():
        num_rows = 2 * config.batch_norm.get("groups", 1)
        images = jnp.zeros((num_rows, *image_shape), jnp.uint8)
        keys = jax.random.split(jax.random.key(0), num_rows)
        shapes = jax.eval_shape(built.make_views, keys, images)
        views = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        return train_state.create(
            built.method, built.optimizer, views, seed=0, online_probe=built.online_probe
        )

    return built, create


@pytest.mark.parametrize("file", FILES)
def test_the_docstring_holds_the_command_that_runs_the_file(file):
    text = _config(file).__doc__
    assert f"python -m byol_jax train --config=configs/{file} --workdir=runs/" in text


@pytest.mark.parametrize("file", FILES)
def test_a_flag_may_give_a_part_of_an_epoch(file):
    config = _config(file).get_config()
    assert isinstance(config.epochs, float)
    assert isinstance(config.schedule.get("warmup_epochs", 0.0), float)


@pytest.mark.parametrize("file", FILES)
def test_it_builds_at_full_size(file):
    config = _config(file).get_config()
    image_shape, num_examples, num_classes = SHAPES.get(Path(file).parts[0], EMBEDDED)
    _, create = _build(config, num_examples, num_classes, image_shape)
    full = jax.eval_shape(create)
    assert "encoder" in full.params and int(np.prod(full.step.shape)) == 1


# The folder of ImageNet has a config for each method.
@pytest.mark.parametrize(
    "file",
    [pytest.param(f, marks=[pytest.mark.slow] * (not f.startswith("imagenet"))) for f in FILES],
)
def test_it_steps_in_small(file):
    config = _config(file).get_config()
    image_shape, _, num_classes = SHAPES.get(Path(file).parts[0], EMBEDDED)
    config.encoder = {"name": "resnet_tiny"}
    for view in config.views.values():
        view.size = 8
    if "size" in config.evaluate.view:
        config.evaluate.view.size = 8
    for head in (config.get("projector", {}), config.get("predictor", {})):
        if "widths" in head:
            head.widths = (8,) * (len(head.widths) - 1) + head.widths[-1:]
    if "context" in config:
        config.context.width = 8
    if "capacity" in config.method:
        config.method.capacity = 32
    if "patch_size" in config.method:
        config.method.patch_size, config.method.patch_stride = 2, 1
    config.batch_size = 16
    parts, create = _build(config, 40, num_classes, (16, 16, image_shape[-1]))
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (16, 16, 16, image_shape[-1]), dtype=np.uint8),
        "index": np.arange(16, dtype=np.int32),
        "label": np.arange(16, dtype=np.int32) % num_classes,
    }
    keys = jax.random.split(jax.random.key(0), 16)
    # Compiled apart from the step, once for all configs that share it.
    views = jax.jit(parts.make_views)(keys, batch["image"])
    step = train_step.make(
        parts.method,
        parts.optimizer,
        make_views=lambda keys, images: views,
        seed=0,
        online_probe=parts.online_probe,
    )
    # optax's Adam raises a float to an integer power
    promotion = "standard" if config.optimizer.name == "adamw" else "strict"
    with jax.numpy_dtype_promotion(promotion):
        state, metrics = jax.jit(lambda: step(create(), batch))()
        encoded = jax.jit(parts.encode)(state.params, state.stats, batch["image"])
    assert int(state.step) == 1
    assert all(np.isfinite(value) for value in metrics.values())
    assert encoded.shape[0] == 16 and np.isfinite(encoded).all()
