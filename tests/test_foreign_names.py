"""SimCLR's and BYOL's weights become our arrays, also from TensorFlow files and pickles."""

import collections
import pickle
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from byol_jax import augment
from byol_jax.encoders import foreign
from byol_jax.encoders.foreign import names
from support import weights

# SimCLR


def _simclr(params, stats):
    """As its TensorFlow program numbers the layers: shortcuts first."""
    named, count = {}, 0

    def add(params, stats, layer):
        nonlocal count
        number, count = f"_{count}" if count else "", count + 1
        norm = layer.replace("conv", "bn")
        named[f"base_model/conv2d{number}/kernel"] = params[layer]["kernel"]
        own = f"base_model/batch_normalization{number}"
        named[f"{own}/gamma"], named[f"{own}/beta"] = params[norm]["scale"], params[norm]["bias"]
        named[f"{own}/moving_mean"] = stats[norm]["mean"]
        named[f"{own}/moving_variance"] = stats[norm]["var"]

    add(params, stats, "stem_conv")
    for block in sorted(k for k in params if k.startswith("stage")):
        for layer in ("shortcut_conv", "conv1", "conv2", "conv3"):
            if layer in params[block]:
                add(params[block], stats[block], layer)
    return named


SIMCLR = {
    "basic": {"widths": (4, 8), "stem_width": 4, "stages": (2, 1), "always_project": True},
    "bottleneck": {**weights.BOTTLENECK, "stages": (3, 2)},
    "small": {"widths": (4, 8), "stem_width": 4, "stages": (1, 1), "always_project": True},
}


@pytest.mark.parametrize("suffix", ["", ":0", "/.ATTRIBUTES/VARIABLE_VALUE"])
@pytest.mark.parametrize("kind", SIMCLR)
def test_simclrs_numbers(kind, suffix):
    how = SIMCLR[kind] | ({"stem": "cifar"} if kind == "small" else {})
    params, stats = weights.arrays("resnet", **how)
    named = {f"{name}{suffix}": x for name, x in _simclr(params, stats).items()}
    named[f"base_model/conv2d/kernel/Momentum{suffix}"] = np.ones(3, np.float32)
    named[f"head_contrastive/nl_0/dense/kernel{suffix}"] = np.ones((2, 2), np.float32)
    found = names.recognize(named)
    weights.same((found.params, found.stats), (params, stats))
    assert (found.kind, found.encoder["padding"]) == ("simclr", "fixed")
    size = {"size": 32} if kind == "small" else {"size": 224, "proportion": 0.875}
    assert found.view == {**size, "method": "bicubic", "antialias": False}
    assert found.image_size == (32 if kind == "small" else 256)
    weights.shapes_of(found)


def test_a_checkpoint_of_tensorflow_is_named_by_its_prefix(tmp_path, monkeypatch):
    named = _simclr(*weights.arrays("resnet", **weights.BOTTLENECK))
    reader = types.SimpleNamespace(
        get_variable_to_shape_map=lambda: named, get_tensor=lambda name: named[name]
    )
    prefix = tmp_path / "model.ckpt-225206"
    (tmp_path / "model.ckpt-225206.index").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match=r"pip install 'byol_jax\[tfds\]'"):
        foreign.load(prefix)
    load = {str(prefix): reader}.__getitem__
    fake = types.SimpleNamespace(
        train=types.SimpleNamespace(load_checkpoint=load),
        errors=types.SimpleNamespace(OpError=OSError),
    )
    monkeypatch.setitem(sys.modules, "tensorflow", fake)
    assert foreign.load(prefix).kind == "simclr"


# BYOL


Experiment = collections.namedtuple(
    "_ByolExperimentState", "online_params target_params online_state target_state opt_state"
)
Experiment.__module__ = "byol_experiment"


class FlatMapping:
    """Pickles as Haiku's dict does."""

    def __init__(self, mapping):
        self.mapping = mapping

    def __reduce__(self):
        return FlatMapping, (self.mapping,)


FlatMapping.__module__ = "haiku_data_structures"


def _byol_pickle(monkeypatch, protocol, wrap):
    params, stats, named_params, named_state = weights.byol()
    for name, kind in (("_ByolExperimentState", Experiment), ("FlatMapping", FlatMapping)):
        monkeypatch.setitem(sys.modules, kind.__module__, types.ModuleType(kind.__module__))
        setattr(sys.modules[kind.__module__], name, kind)

    def dicts(named):
        nested = {k: FlatMapping(dict(jax.tree.map(wrap, v))) for k, v in named.items()}
        return FlatMapping(nested)

    trees = [dicts(x) for x in (named_params, named_params, named_state, named_state)]
    state = Experiment(*trees, opt_state=(FlatMapping({}), np.float32(3)))
    saved = {"experiment_state": state, "step": 300_000, "rng": wrap(np.array([0, 7], np.uint32))}
    pickled = pickle.dumps(saved, protocol)
    for kind in (Experiment, FlatMapping):  # what is not there cannot be imported
        monkeypatch.delitem(sys.modules, kind.__module__)
    return pickled, (params, stats)


@pytest.mark.parametrize("wrap", [np.asarray, jnp.asarray, np.asfortranarray])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_byols_pickle_becomes_a_file_without_pickles(protocol, wrap, tmp_path, monkeypatch):
    pickled, want = _byol_pickle(monkeypatch, protocol, wrap)
    source, out = tmp_path / "pretrain_res50x1.pkl", tmp_path / "new" / "byol.npz"
    source.write_bytes(pickled)
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(pickled)
    with pytest.raises(ValueError, match=f"byol_jax unpickle --source={source} --out=FILE.npz"):
        foreign.load(source)
    foreign.unpickle(source, out)
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    found = foreign.load(out)
    weights.same((found.params, found.stats), want)
    assert (found.kind, found.image_size, found.encoder["padding"]) == ("byol", 256, "same")
    assert found.view["method"] == "bicubic" and found.view["antialias"] is False
    assert found.view["std"] == list(augment.IMAGENET_STD)
    weights.shapes_of(found)
    with np.load(out) as opened:
        np.testing.assert_array_equal(opened["rng"], [0, 7])
        assert opened["experiment_state/opt_state/1"] == 3


def test_bare_names_of_byol():
    params, stats, named_params, named_state = weights.byol()
    named = {
        f"online_{kind}/{module}/{leaf}": x
        for kind, tree in (("params", named_params), ("state", named_state))
        for module, leaves in tree.items()
        for leaf, x in leaves.items()
    }
    found = names.recognize(named)
    weights.same((found.params, found.stats), (params, stats))
    named["online_params/res_net18/~/final_batchnorm/scale"] = np.ones(3, np.float32)
    with pytest.raises(
        ValueError, match=r"version 1\): unknown arrays online_params/res_net18/~/final_batchnorm"
    ):
        names.recognize(named)


def test_a_checkpoint_that_tensorflow_wrote(tmp_path):
    tf = pytest.importorskip("tensorflow").compat.v1
    params, stats = weights.arrays("resnet", **weights.BOTTLENECK)
    with tf.Graph().as_default(), tf.Session() as session:
        for name, x in _simclr(params, stats).items():
            tf.get_variable(name, initializer=tf.constant(x))
        tf.get_variable("global_step", initializer=tf.constant(5, tf.int64))
        session.run(tf.global_variables_initializer())
        prefix = tf.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    found = foreign.load(prefix)
    weights.same((found.params, found.stats), (params, stats))
