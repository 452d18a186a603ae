"""Weight files for tests, in the formats of torch and BYOL, written without torch or Haiku."""

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


def arrays(factory="resnet_tiny", **options) -> tuple[dict, dict]:
    """Returns random parameters and statistics of a network for images with 3 channels."""
    init = networks.ENCODERS[factory](**options).init
    trees = jax.eval_shape(init, jax.random.key(0), jax.ShapeDtypeStruct((1, 32, 32, 3), "float32"))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: rng.random(x.shape, np.float32), trees)


def state_dict(prefix="", **options) -> dict[str, np.ndarray]:
    """Returns random arrays of a network by torchvision's names, with a prefix and a head."""
    tensors = torchvision.to_torchvision(*arrays(**options))
    tensors["fc.weight"] = np.ones((2, 3), np.float32)
    return {prefix + name: x for name, x in tensors.items()}


class Tensor:
    """An array that is pickled as a torch tensor; the options make the pickle lie about it."""

    def __init__(self, x, *, offset=0, size=None, strides=None, count=None):
        x = np.ascontiguousarray(x)
        self.x = x
        self.offset = offset
        self.count = x.size if count is None else count
        self.size = x.shape if size is None else size
        self.strides = [s // x.itemsize for s in x.strides] if strides is None else strides

    def __reduce__(self):
        utils = sys.modules["torch._utils"]
        parts = (_Storage(self), self.offset, tuple(self.size), tuple(self.strides), False, {})
        return utils._rebuild_tensor_v2, parts


class _Storage:
    def __init__(self, tensor):
        self.tensor = tensor


def _module(name, **functions):
    """Returns a module of this name with these functions, so that pickle can refer to them."""
    module = types.ModuleType(name)
    for key, value in functions.items():
        value.__module__ = name
        value.__qualname__ = key
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
    """A pickler like torch's: it replaces a tensor's storage by a key."""

    def __init__(self, file, *, is_legacy):
        super().__init__(file, protocol=2)
        self.is_legacy = is_legacy
        self.tensors = {}

    def persistent_id(self, node):
        if not isinstance(node, _Storage):
            return None
        x = node.tensor.x
        key = str(len(self.tensors))
        self.tensors[key] = node.tensor
        names = {"f2": "Half", "f4": "Float", "f8": "Double", "i8": "Long", "u2": "BFloat16"}
        kind = getattr(sys.modules["torch"], f"{names[x.dtype.str[1:]]}Storage")
        return "storage", kind, key, "cpu", node.tensor.count, *([None] if self.is_legacy else [])


def _pickled(tree, *, is_legacy):
    """Returns the pickle of a tree, and by key the tensors that it refers to."""
    file = io.BytesIO()
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update(_types_of_torch())
    try:
        pickler = _Pickler(file, is_legacy=is_legacy)
        pickler.dump(tree)
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})
    return file.getvalue(), pickler.tensors


def torch_zip(tree, *, compression=zipfile.ZIP_STORED, names="archive/{}") -> bytes:
    """Returns a tree in the format of torch.save since version 1.6."""
    file = io.BytesIO()
    pickled, tensors = _pickled(tree, is_legacy=False)
    with zipfile.ZipFile(file, "w", compression) as zipped:
        zipped.writestr(names.format("data.pkl"), pickled)
        zipped.writestr(names.format("byteorder"), "little")
        for key, tensor in tensors.items():
            zipped.writestr(names.format(f"data/{key}"), tensor.x.tobytes())
    return file.getvalue()


def torch_legacy(tree) -> bytes:
    """Returns a tree in the format of torch.save before version 1.6."""
    pickled, tensors = _pickled(tree, is_legacy=True)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    head = [pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, system)]
    file = io.BytesIO()
    file.write(b"".join([*head, pickled, pickle.dumps(list(tensors), 2)]))
    for tensor in tensors.values():
        file.write(int(tensor.count).to_bytes(8, "little", signed=True) + tensor.x.tobytes())
    return file.getvalue()


def tensors(named, wrap=Tensor) -> collections.OrderedDict:
    """Returns an OrderedDict of tensors, like the state_dict of a torch module."""
    return collections.OrderedDict((name, wrap(x)) for name, x in named.items())


def byol() -> tuple[dict, dict, dict, dict]:
    """Returns parameters and statistics, and the same arrays by Haiku's names."""
    params, stats = arrays("resnet18", widths=(4, 4, 8, 8), stem_width=4, always_project=True)
    return params, stats, _haiku(params, "params"), _haiku(stats, "state")


def _haiku(tree, kind):
    heads = {"projector/linear": {"w": np.ones((2, 2), np.float32)}}
    arrays_by_name = dict(heads) if kind == "params" else {}
    for path, x in jax.tree_util.tree_leaves_with_path(tree):
        *parents, leaf = [part.key for part in path]
        name = "/~/".join(["res_net18", *(_haiku_part(part) for part in parents)])
        if leaf == "kernel":
            arrays_by_name.setdefault(name, {})["w"] = x
        elif leaf in ("scale", "bias"):
            leaf = {"bias": "offset"}.get(leaf, leaf)
            arrays_by_name.setdefault(name, {})[leaf] = x.reshape(1, 1, 1, -1)
        else:
            average = {"average": x.reshape(1, 1, 1, -1), "hidden": -x, "counter": np.int32(9)}
            arrays_by_name[f"{name}/~/{leaf}_ema"] = average
    return arrays_by_name


def _haiku_part(part):
    if part.startswith("stage"):
        stage, block = part.removeprefix("stage").split("_block")
        return f"block_group_{int(stage) - 1}/~/block_{int(block) - 1}"
    part = part.replace("bn", "batchnorm").replace("stem", "initial")
    kind, _, layer = part.rpartition("_")
    return f"{kind}_{layer}" if kind else f"{layer[:-1]}_{int(layer[-1]) - 1}"


BOTTLENECK = {"widths": (4, 8), "stem_width": 4, "stages": (1, 2), "bottleneck": True}


def same(got, want):
    """Asserts that two trees of arrays are equal bit for bit."""
    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree.map(np.testing.assert_array_equal, got, want)


def network(foreign):
    """Returns the network of a Foreign, the result of reading another library's weights."""
    arguments = {k: v for k, v in foreign.encoder.items() if k != "name"}
    return networks.ENCODERS[foreign.encoder["name"]](**arguments)


def shapes_of(foreign):
    """Returns the shapes and dtypes of the arrays of a Foreign's network."""
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), "float32")
    return jax.eval_shape(network(foreign).init, jax.random.key(0), images)
