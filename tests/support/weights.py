"""Files of weights for tests, written by hand: torch's without torch, BYOL's without Haiku."""

import collections
import io
import pickle
import sys
import types
import zipfile

import jax
import numpy as np

from byol_jax import networks
from byol_jax.networks import torchvision


def arrays(factory="resnet_tiny", **how) -> tuple[dict, dict]:
    """Random params and stats of a network on pictures with 3 channels."""
    init = networks.ENCODERS[factory](**how).init
    trees = jax.eval_shape(init, jax.random.key(0), jax.ShapeDtypeStruct((1, 32, 32, 3), "float32"))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: rng.random(x.shape, np.float32), trees)


def state_dict(prefix="", **how) -> dict[str, np.ndarray]:
    """The same in torchvision's names, below a prefix, with a head."""
    tensors = torchvision.to_torchvision(*arrays(**how))
    tensors["fc.weight"] = np.ones((2, 3), np.float32)
    return {prefix + name: x for name, x in tensors.items()}


class Tensor:
    """An array that torch's pickles have as a tensor; the rest lies about it."""

    def __init__(self, x, *, offset=0, size=None, strides=None, count=None):
        x = np.ascontiguousarray(x)
        self.x, self.offset, self.count = x, offset, x.size if count is None else count
        self.size = x.shape if size is None else size
        self.strides = [s // x.itemsize for s in x.strides] if strides is None else strides

    def __reduce__(self):
        utils, identity = sys.modules["torch._utils"], _Storage(self)
        parts = (identity, self.offset, tuple(self.size), tuple(self.strides), False, {})
        return utils._rebuild_tensor_v2, parts


class _Storage:
    def __init__(self, tensor):
        self.tensor = tensor


def _module(name, **functions):
    """A module of this name, in which pickle finds these."""
    module = types.ModuleType(name)
    for key, value in functions.items():
        value.__module__, value.__qualname__ = name, key
        setattr(module, key, value)
    return module


def _types_of_torch():
    kinds = ("FloatStorage", "HalfStorage", "LongStorage", "DoubleStorage", "BFloat16Storage")
    rebuild = types.FunctionType((lambda *_: None).__code__, {}, "_rebuild_tensor_v2")
    return {
        "torch": _module("torch", **{kind: type(kind, (), {}) for kind in kinds}),
        "torch._utils": _module("torch._utils", _rebuild_tensor_v2=rebuild),
    }


class _Pickler(pickle._Pickler):
    """Of torch: a tensor's storage is kept outside, under a key."""

    def __init__(self, file, *, is_legacy):
        super().__init__(file, protocol=2)
        self.is_legacy, self.tensors = is_legacy, {}

    def persistent_id(self, node):
        if not isinstance(node, _Storage):
            return None
        x, key = node.tensor.x, str(len(self.tensors))
        self.tensors[key] = node.tensor
        names = {"f2": "Half", "f4": "Float", "f8": "Double", "i8": "Long", "u2": "BFloat16"}
        kind = getattr(sys.modules["torch"], f"{names[x.dtype.str[1:]]}Storage")
        return "storage", kind, key, "cpu", node.tensor.count, *([None] if self.is_legacy else [])


def _pickled(tree, *, is_legacy):
    """The bytes, and the tensors that it refers to."""
    file, before = io.BytesIO(), {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update(_types_of_torch())
    try:
        pickler = _Pickler(file, is_legacy=is_legacy)
        pickler.dump(tree)
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})
    return file.getvalue(), pickler.tensors


def torch_zip(tree, *, compression=zipfile.ZIP_STORED, names="archive/{}") -> bytes:
    """As torch.save writes it since 1.6."""
    file = io.BytesIO()
    pickled, tensors = _pickled(tree, is_legacy=False)
    with zipfile.ZipFile(file, "w", compression) as zipped:
        zipped.writestr(names.format("data.pkl"), pickled)
        zipped.writestr(names.format("byteorder"), "little")
        for key, tensor in tensors.items():
            zipped.writestr(names.format(f"data/{key}"), tensor.x.tobytes())
    return file.getvalue()


def torch_legacy(tree) -> bytes:
    """As torch.save wrote it before."""
    pickled, tensors = _pickled(tree, is_legacy=True)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    head = [pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, system)]
    file = io.BytesIO()
    file.write(b"".join([*head, pickled, pickle.dumps(list(tensors), 2)]))
    for tensor in tensors.values():
        file.write(int(tensor.count).to_bytes(8, "little", signed=True) + tensor.x.tobytes())
    return file.getvalue()


def tensors(named, wrap=Tensor) -> collections.OrderedDict:
    """An OrderedDict of tensors, as a module's state_dict is."""
    return collections.OrderedDict((name, wrap(x)) for name, x in named.items())


def byol() -> tuple[dict, dict, dict, dict]:
    """(params, stats) of ours, and the two of Haiku's names that hold the same arrays."""
    params, stats = arrays("resnet18", widths=(4, 4, 8, 8), stem_width=4, always_project=True)
    return params, stats, _haiku(params, "params"), _haiku(stats, "state")


def _haiku(tree, kind):
    heads = {"projector/linear": {"w": np.ones((2, 2), np.float32)}}
    found = dict(heads) if kind == "params" else {}
    for path, x in jax.tree_util.tree_leaves_with_path(tree):
        *place, leaf = [part.key for part in path]
        name = "/~/".join(["res_net18", *(_in_haiku(part) for part in place)])
        if leaf == "kernel":
            found.setdefault(name, {})["w"] = x
        elif leaf in ("scale", "bias"):
            leaf = {"bias": "offset"}.get(leaf, leaf)
            found.setdefault(name, {})[leaf] = x.reshape(1, 1, 1, -1)
        else:
            average = {"average": x.reshape(1, 1, 1, -1), "hidden": -x, "counter": np.int32(9)}
            found[f"{name}/~/{leaf}_ema"] = average
    return found


def _in_haiku(part):
    if part.startswith("stage"):
        stage, block = part.removeprefix("stage").split("_block")
        return f"block_group_{int(stage) - 1}/~/block_{int(block) - 1}"
    kind, _, what = part.replace("bn", "batchnorm").replace("stem", "initial").rpartition("_")
    return f"{kind}_{what}" if kind else f"{what[:-1]}_{int(what[-1]) - 1}"


BOTTLENECK = {"widths": (4, 8), "stem_width": 4, "stages": (1, 2), "bottleneck": True}


def same(found, want):
    """Bit for bit."""
    assert jax.tree.structure(found) == jax.tree.structure(want)
    jax.tree.map(np.testing.assert_array_equal, found, want)


def network(found):
    """That of a Foreign."""
    arguments = {k: v for k, v in found.encoder.items() if k != "name"}
    return networks.ENCODERS[found.encoder["name"]](**arguments)


def shapes_of(found):
    """What its network's arrays look like."""
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")
    return jax.eval_shape(network(found).init, jax.random.key(0), images)
