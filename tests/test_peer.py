"""The peer script's network has our shape, its methods learn, and its results are readable."""

import argparse
import json
import pathlib
import runpy

import jax
import numpy as np
import pytest

from byol_jax import networks

pytest.importorskip("lightly", reason="needs byol_jax[parity]")
import torch

import peer

ROOT = pathlib.Path(__file__).parent.parent
METHODS = ("byol", "simclr", "moco_v2")


def _config(name):
    return runpy.run_path(ROOT / "configs" / "fashion_mnist" / f"{name}.py")["get_config"]()


@pytest.mark.parametrize("name", METHODS)
def test_the_encoders_have_arrays_of_the_same_sizes(name):
    section = _config(name).encoder
    theirs, width = peer.encoder(section, 1, torch.nn.BatchNorm2d)
    given = {k: v for k, v in section.to_dict().items() if k != "name"}
    ours = networks.ENCODERS[section.name](**given)
    images = jax.ShapeDtypeStruct((2, 28, 28, 1), np.float32)
    params, _ = jax.eval_shape(ours.init, jax.random.key(0), images)
    assert sorted(x.size for x in jax.tree.leaves(params)) == sorted(
        p.numel() for p in theirs.parameters()
    )
    assert theirs(torch.zeros(2, 1, 28, 28)).shape == (2, width)


@pytest.mark.parametrize("name", METHODS)
def test_a_few_steps_learn_and_leave_what_a_run_of_ours_does(name, tmp_path, monkeypatch):
    config, out = ROOT / "configs" / "fashion_mnist" / f"{name}.py", tmp_path / "out"
    given = {"data": "fashion_mnist_10k", "seed": 0, "seconds": 4.0, "every": 4, "rate": 0.06}
    monkeypatch.setattr(peer, "measure", lambda backbone, splits, step: _features(backbone, step))
    peer.run(argparse.Namespace(config=str(config), out=out, workers=0, **given))
    found = json.loads((out / "evaluation.json").read_text())
    steps = [rows[0]["settings"]["step"] for rows in found["accuracy"].values()]
    assert steps == sorted(steps) and steps[-1] == found["step"]
    assert list(found["accuracy"])[-1] == "learned"
    info = json.loads((out / "config.json").read_text())
    assert info["method"]["name"] in ("byol", "simclr", "moco") and "lightly" in info["peer"]


def _features(backbone, step):
    rows = peer.features(backbone, np.zeros((3, 28, 28, 1), np.uint8))
    assert np.isfinite(rows).all() and not backbone.training
    return [{"protocol": "knn", "accuracy": 0.5, "settings": {"step": step}}]


def test_of_many_states_the_middle_the_last_regular_and_the_last_are_evaluated():
    assert peer.steps_to_evaluate([250, 500, 750, 800]) == [500, 750, 800]
    assert peer.steps_to_evaluate([250, 300]) == [250, 300] and peer.steps_to_evaluate([7]) == [7]
