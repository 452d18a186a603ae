"""A NaN in one picture, at a known step: the run stops there, or passes over it and counts."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from byol_jax import checkpoint, data, methods, networks, optimizers, train_state, train_step
from byol_jax.builders import inputs, views
from byol_jax.training import start, train
from support import runs

BAD = 255  # the picture whose first pixel this is


def _views(keys, images):
    del keys
    bad = (images[:, :1, :1] == BAD).astype(jnp.float32)
    x = images.astype(jnp.float32) / 255 + jnp.where(bad > 0, jnp.nan, 0.0)
    return x, x[:, ::-1]


def _batch(number, bad):
    images = np.random.default_rng(number).integers(0, 250, (8, 8, 8, 1), dtype=np.uint8)
    if bad:
        images[3, 0, 0] = BAD
    return {"image": images, "index": np.arange(8, dtype=np.int32)}


def _take(state, step, bads):
    for number, bad in enumerate(bads):
        state, metrics = step(state, _batch(number, bad))
        yield jax.device_get(state), float(metrics["skipped"])


def _make(most_skipped):
    net = networks.ENCODERS["resnet_tiny"]()
    method = methods.moco(net, networks.mlp((8,)), capacity=16, decay=0.5)
    optimizer = optimizers.sgd(0.1)
    state = train_state.create(method, optimizer, (jnp.zeros((4, 8, 8, 1)),) * 2, seed=0)
    how = {"make_views": _views, "seed": 0, "most_skipped": most_skipped}
    return state, jax.jit(train_step.make(method, optimizer, **how))


def _same(a, b):
    return all(
        np.asarray(x).tobytes() == np.asarray(y).tobytes()
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def test_a_skipped_step_moves_nothing_but_the_count():
    state, step = _make(most_skipped=2)
    first, second, third, fourth = _take(state, step, [False, True, True, False])
    assert [skipped for _, skipped in (first, second, third, fourth)] == [0, 1, 1, 0]
    counts = {"step": np.int32(1), "skipped": np.int32(0)}
    assert _same(first[0]._replace(**counts), third[0]._replace(**counts))
    assert (int(third[0].step), int(third[0].skipped)) == (3, 2)
    assert (int(fourth[0].step), int(fourth[0].skipped)) == (4, 0)
    assert not _same(third[0].params, fourth[0].params)


def test_after_one_too_many_nothing_moves_at_all():
    state, step = _make(most_skipped=0)
    first, second, third = _take(state, step, [False, True, False])
    counts = {"step": np.int32(1), "skipped": np.int32(0)}
    assert _same(first[0], second[0]._replace(**counts))
    assert _same(second[0], third[0]) and int(third[0].skipped) == 1


@pytest.fixture
def config(monkeypatch):
    """A run in which one picture, and so one step of each epoch, is not finite."""
    config = runs.config_of(epochs=3, evaluate={"protocols": ()}, checkpoint_every_steps=100)
    source = data.open_source("fashion_mnist_10k", "train[:48]")
    chosen = int(source.images[17].astype(int).sum())
    real = views.make_views

    def make_views(config, *, cropped=False):
        make = real(config, cropped=cropped)

        def spoiled(keys, images):
            is_bad = jnp.sum(images.astype(jnp.int32), axis=(1, 2, 3)) == chosen
            nan = jnp.where(is_bad, jnp.nan, 0.0)[:, None, None, None]
            return tuple(view + nan for view in make(keys, images))

        return spoiled

    monkeypatch.setattr(views, "make_views", make_views)
    return config


def _steps_with(config, picture):
    ready = start.prepare(config, "unused", writes=False)
    coming = inputs.batches(ready.inputs, config, ready.source)
    return [n for n in range(1, 10) if picture in next(coming)["index"]]


def test_by_default_the_run_stops_and_keeps_what_there_is_to_look_at(config, tmp_path):
    k = _steps_with(config, 17)[0]
    words = rf"the loss \(nan\) or a gradient is not finite at step {k}\. The state before this"
    with pytest.raises(FloatingPointError, match=words):
        train.train(config, tmp_path)
    record = json.loads((tmp_path / f"not_finite/step_{k}_process_0.json").read_text())
    assert record["step"] == k and 17 in record["index"] and len(record["index"]) == 16
    with np.load(tmp_path / f"not_finite/step_{k}_process_0.npz") as kept:
        assert all(np.isfinite(kept[name]).all() for name in kept.files)
        # It is the state of a run that ended before.
        config.epochs = (k - 1) / 3
        if k > 1:
            train.train(config, tmp_path / "short")
            with checkpoint.Checkpoints(tmp_path / "short", keep=None) as checkpoints:
                ready = start.prepare(config, tmp_path / "short", writes=False)
                want = checkpoint.flat(checkpoints.restore(ready.first))
            assert kept.files == list(want)


def test_a_run_passes_over_some_and_counts_them(config, tmp_path, capsys):
    config.most_skipped = 1
    bad = _steps_with(config, 17)
    assert len(bad) == 3  # one in each epoch
    train.train(config, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["skipped"]] == bad
    assert capsys.readouterr().out.count("is not finite at step") == 3
    with checkpoint.Checkpoints(tmp_path, keep=None) as checkpoints:
        state = checkpoints.restore(start.prepare(config, tmp_path, writes=False).first)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
