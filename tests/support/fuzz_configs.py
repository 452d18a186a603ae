"""Mutated configs for fuzz.py, and the part of a run that must detect their mistakes."""

import copy
import inspect
import pathlib
import random
import tempfile
from unittest import mock

import jax
from ml_collections import ConfigDict

from byol_jax import methods
from byol_jax.builders import inputs, lowering
from byol_jax.builders import step as build_step
from support import runs

METHODS = [name for name in runs.METHODS if name in methods.METHODS]
PROTOCOLS = ("knn", "linear", "logistic", "probe", "finetune", "semi")

WRONG = (
    "what",
    "",
    None,
    True,
    -1,
    0,
    2.5,
    -0.5,
    10**9,
    1e30,
    [1, 2],
    ["what"],
    (),
    {},
    {"what": 1},
    float("nan"),
    float("inf"),
    (3, 5),
    (0,),
    (-4,),
)
FITTING = {  # values of a suitable type, which may still conflict with the rest of the config
    "microbatches": (2, 3, 4, 5),
    "batch_size": (8, 12, 17, 32, 48, 64),
    "precision": ("bfloat16", "float16", "float64"),
    "remat": ("elementwise", "blocks", "all"),
    "epochs": (0.01, 1, 3.5),
    "start_from": ("missing.safetensors", __file__, "/"),
    "batch_norm.groups": (2, 3, 4),
    "batch_norm.sync": (False,),
    "batch_norm.kind": ("layer", "group"),
    "batch_norm.unbiased": (True,),
    "views.first.size": (4, 6, (8, 6), 1, 2, 3),
    "views.second.size": (12, (8, 6), None, 1, 40),
    "views.first.name": ("plain", "simclr", "byol_1", "moco_v2"),
    "views.first.mean": ((0.5,), (0.1, 0.2, 0.3)),
    "views.first.std": ((0.5,), (0.1, 0.2)),
    "views.first.order": (("crop", "crop"), ("solarise",), "crop"),
    "views.second.area": ((0.5,), (1.0, 0.2), (-1, 0)),
    "views.second.method": ("nearest", "bicubic"),
    "encoder.name": ("resnet_small", "resnet", "vit"),
    "encoder.stem": ("strided", "imagenet", "stem"),
    "encoder.widths": ((8,), (8, 0), (4, 4, 4)),
    "encoder.width": (0, 0.01, 2),
    "encoder.padding": ("fixed", "valid"),
    "projector.widths": ((), (0,), (8,), (12, -1), 16),
    "projector.last_norm": ("scale", "layer"),
    "projector.kernel_init": ("torch", 0.01, "he"),
    "projector.batch_norm": (False, "no"),
    "predictor.widths": ((12, 11), (4,)),
    "context.width": (0, 3),
    "method.capacity": (8, 16, 20, 25, 64),
    "method.symmetric": (True,),
    "method.decay": (0, 1.5, 1),
    "method.decay_schedule": ("constant", "linear"),
    "method.temperature": (0, 0.5),
    "method.target_stats": ("copied", "averaged", "mine"),
    "method.joint_views": (False,),
    "method.stop_gradient": (False,),
    "method.patch_size": (2, 8, 9),
    "method.patch_stride": (1, 0, 5),
    "method.offsets": ((0,), (9,), (-1,)),
    "optimizer.name": ("lars", "adamw", "adam"),
    "optimizer.mask": ("everything", "all"),
    "optimizer.multipliers": ({"encoder": 2.0}, {"head": 2.0}, {"encoder": "two"}),
    "optimizer.nesterov": (True, "yes"),
    "schedule.name": ("constant", "steps", "step"),
    "schedule.scaling": ("sqrt", "none", "square"),
    "schedule.epochs": ((1,), (1, 1), ("one",)),
    "schedule.warmup_epochs": (1, -1, 1000),
    "probe.name": ("adamw", "lars", "knn"),
    "data.name": ("", "/", "what_data"),
    "data.train_split": ("train[:20]", "train[:1]", "train[", "trian", "train[:-1000]", "all"),
    "data.test_split": ("test[9:3]", "tset", "train+test"),
    "data.mode": ("streamed", "resident"),
    "data.crops": ("host", "device"),
    "data.image_size": (14, 0),
    "evaluate.protocols": (PROTOCOLS, ("knn",), ("svm",), "knn"),
    "evaluate.steps": (("best",), (3,), ("first",)),
    "evaluate.on": ("projections", "patches", "pixels"),
    "evaluate.view": ({"proportion": 0.5}, {"proportion": 2}, {"scale": 1}),
    "evaluate.baselines": ((), ("raw pixel",)),
    "evaluate.options.knn.k": (5, 2.5, "five"),
    "evaluate.options.probe.recipe": ("moco", "mine"),
}


def config(kind: str) -> dict:
    """Returns a small valid experiment as a dict."""
    return runs.small(kind).to_dict()


def _paths(tree, prefix=()):
    for name, value in tree.items():
        yield (*prefix, name)
        if isinstance(value, dict):
            yield from _paths(value, (*prefix, name))


def _typo(rng, word):
    index = rng.randrange(len(word))
    deleted = word[:index] + word[index + 1 :]
    inserted = word[:index] + "x" + word[index:]
    return rng.choice([deleted, inserted, word + "s"]) or "x"


def _is_taken(tree, dotted):
    """Returns True if the experiment uses the field: its method takes it, or its section exists."""
    section, *names = dotted.split(".")
    if section == "method" and isinstance(tree.get(section), dict):
        factory = methods.METHODS.get(str(tree[section].get("name")), methods.METHODS["byol"])
        return names[0] in inspect.signature(factory).parameters
    return not names or bool(tree.get(section))


def _mutate(rng, tree):
    """Makes one mistake in the tree; returns the path of the change and the new name or value."""
    kinds = {"fit": 6, "wrong": 4, "typo": 1, "delete": 1, "swap": 1, "new": 1}
    (kind,) = rng.choices(list(kinds), list(kinds.values()))
    paths = list(_paths(tree))
    path = rng.choice(
        [path for path in paths if path[0] != "evaluate"] if rng.random() < 0.7 else paths
    )
    if kind == "fit":
        dotted = rng.choice([path for path in FITTING if _is_taken(tree, path)])
        path = dotted.split(".")
        value = copy.deepcopy(rng.choice(FITTING[dotted]))
    parent = tree
    for name in path[:-1]:
        parent = parent.setdefault(name, {}) if isinstance(parent, dict) else {}
    if not isinstance(parent, dict):
        return path, None
    if kind == "fit":
        parent[path[-1]] = value
    elif kind == "typo":
        value = _typo(rng, path[-1])
        parent[value] = parent.pop(path[-1])
    elif kind == "delete":
        value = parent.pop(path[-1])
    elif kind == "new":
        path = (*path[:-1], _typo(rng, path[-1]))
        value = copy.deepcopy(rng.choice(WRONG))
        parent[path[-1]] = value
    else:
        sections = [value for value in tree.values() if isinstance(value, dict)]
        value = copy.deepcopy(rng.choice(WRONG if kind == "wrong" else sections))
        parent[path[-1]] = value
    return path, value


def mutated(rng: random.Random) -> tuple[str, dict, tuple[str, ...]]:
    """Returns a mutated config: a description, the fields, and words of a good error."""
    kind = rng.choice(METHODS)
    tree = config(kind)
    tree["evaluate"]["protocols"] = tuple(rng.sample(PROTOCOLS, rng.randrange(4)))
    words = []
    changes = [kind]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        path, value = _mutate(rng, tree)
        words += [*path, repr(value)]
        words += [value] if isinstance(value, str) else []
        words += list(value) if isinstance(value, dict) and len(value) == 1 else []
        changes.append(f"{'.'.join(path)} -> {value!r}")
    return "; ".join(changes), tree, tuple(word for word in words if word)


def trace(tree):
    """Prepares an experiment and traces its step without computing it."""
    experiment = ConfigDict(copy.deepcopy(tree))
    no_state = mock.patch.object(build_step, "first_state", lambda *_: lambda: 0)
    with tempfile.TemporaryDirectory() as folder, no_state:
        ready = runs.prepare(experiment, pathlib.Path(folder) / "run")
    step = build_step.parallel_step(experiment, ready.parts, ready.inputs)
    count = jax.device_count()
    shapes = lowering.shapes(experiment, ready.parts, ready.source, ready.inputs, count)
    jax.eval_shape(step, *shapes)
    if ready.splits is not None:
        images = jax.eval_shape(lambda: inputs.zeros(ready.inputs, ready.splits[1], 4))
        if ready.inputs.crops is None:
            jax.eval_shape(ready.parts.encode, shapes[0].params, shapes[0].stats, images)
