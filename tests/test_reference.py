"""Step for step, our public functions against what the authors' own code computed.

With -rP pytest prints the largest deviation of every quantity and what is allowed.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from byol_jax import (
    ema,
    methods,
    networks,
    optimizers,
    probe,
    train_state,
    train_step,
)
from byol_jax.methods.instdisc import Memory as Bank
from byol_jax.methods.moco import Memory as Queue
from support import recorded, recorded_operations
from support import recorded_names as names
from support import recorded_parts as parts

# Networks take long to compile: by default they run under pmap only.
SLOW_BACKENDS = [
    pytest.param(backend, marks=[pytest.mark.slow] * (backend != "pmap"))
    for backend in recorded.BACKENDS
]

# BYOL


def _momentum(opt_state):
    return optax.tree_utils.tree_get(opt_state, "trace")


@recorded.kind("byol")
@pytest.mark.parametrize("backend", SLOW_BACKENDS)
def test_byol(file, backend):
    axis_name = recorded.axis_of(backend)
    trace = recorded.load(file)
    meta = trace.meta
    params, target, stats = parts.byol_state(trace, "init")
    method = parts.byol_method(meta, params["encoder"], axis_name)
    schedule, lars = parts.byol_schedule(meta), meta["lars"]
    optimizer = optimizers.lars(
        schedule,
        momentum=lars["momentum"],
        weight_decay=lars["weight_decay"],
        trust_coefficient=lars["eta"],
    )
    online_probe = probe.Probe(meta["num_classes"], optimizer)
    classifier = params["classifier"]
    state = train_state.TrainState(
        jnp.int32(0),
        parts.online_nets(params),
        stats,
        optimizer.init(parts.online_nets(params)),
        target,
        probe.ProbeState(classifier, optimizer.init(classifier)),
    )
    step = train_step.make(
        method,
        optimizer,
        make_views=parts.byol_views,
        seed=0,
        online_probe=online_probe,
        axis_name=axis_name,
    )

    def after(i, state, metrics):
        log = trace.under(f"log/{i}/")
        losses = {"loss": metrics["loss"], "probe_loss": metrics["probe_loss"]}
        wanted = {"loss": log["repr_loss"], "probe_loss": log["classif_loss"]}
        recorded.compare(f"step {i} losses", losses, wanted, recorded.LOSS)
        recorded.compare(
            f"step {i} learning rate", schedule(i), log["learning_rate"], recorded.LOSS
        )
        decay = ema.cosine_decay(meta["base_target_ema"], i, meta["max_steps"])
        recorded.compare(f"step {i} decay", decay, log["tau"], recorded.LOSS)
        if f"after/{i}/online_params/classifier/b" not in trace.arrays:
            return
        params, target, stats = parts.byol_state(trace, f"after/{i}")
        momentum = names.from_haiku(trace.under(f"after/{i}/opt_state/1/mu/"))
        both = {**state.params, "classifier": state.probe.params}
        moving = _momentum(state.opt_state) | {"classifier": _momentum(state.probe.opt_state)}
        # The bias before a batch norm has no gradient but rounding: hold it to the other tensors.
        scale = 1e-3 * max(np.abs(x).max() for x in jax.tree.leaves(momentum))
        recorded.compare(f"after {i} params", both, params)
        recorded.compare(f"after {i} target", state.memory, target)
        recorded.compare(f"after {i} stats", state.stats, stats)
        recorded.compare(f"after {i} momentum", moving, momentum, recorded.MOMENTUM, scale=scale)

    def batch_of(i):
        return recorded.batch(trace, i, ("view1", "view2"), "labels")

    recorded.run(trace, lambda batch: step, state, batch_of, after, backend)


# MoCo


@recorded.kind("moco")
@pytest.mark.parametrize("backend", SLOW_BACKENDS)
def test_moco(file, backend):
    """The recorded code moves its key encoder before it is used, ours after the update.

    So what it used in step i is what we hold after step i - 1.
    """
    trace = recorded.load(file)
    meta = trace.meta
    online, online_stats = names.from_torch(trace.under("init/encoder_q."))
    target, target_stats = names.from_torch(trace.under("init/encoder_k."))
    axis_name = recorded.axis_of(backend)
    groups = meta["devices"] if axis_name is None else 1
    nets = parts.moco_networks(trace, online, groups)
    settings = meta["sgd"]
    optimizer = optimizers.sgd(
        settings["learning_rate"],
        momentum=settings["momentum"],
        weight_decay=settings["weight_decay"],
        nesterov=settings.get("nesterov", False),
    )

    def make(batch):
        order = batch.pop("order")
        method = methods.moco(
            *nets,
            capacity=meta["queue_size"],
            decay=meta["decay"],
            temperature=meta["temperature"],
            permutation=lambda key, num_rows: order,
            axis_name=axis_name,
        )
        options = {
            "make_views": parts.as_they_are,
            "seed": 0,
            "axis_name": axis_name,
        }
        return train_step.make(method, optimizer, **options)

    def after(held, i, state, metrics):
        recorded.compare(
            f"step {i} loss", metrics["loss"], trace.arrays[f"log/{i}/loss"].mean(), recorded.LOSS
        )
        recorded.compare(f"step {i} queue", state.memory.queue, parts.moco_queue(trace, f"log/{i}"))
        if f"after/{i}/queue" in trace.arrays:
            params, stats = names.from_torch(trace.under(f"after/{i}/encoder_q."))
            target, target_stats = names.from_torch(trace.under(f"after/{i}/encoder_k."))
            recorded.compare(f"after {i} params", state.params, params)
            recorded.compare(f"used in {i} target", held[-1], target)
            if meta["devices"] == 1:  # recorded are those of device 0, ours are the mean
                stats = {**stats, "target": target_stats}
                recorded.compare(f"after {i} stats", state.stats, stats)
        held.append(state.memory.target)

    def batch_of(i):
        order = trace.arrays[f"log/{i}/shuffle"].astype(np.int32)
        return recorded.batch(trace, i, ("query_view", "key_view"), order=order)

    def check(params):
        state = train_state.TrainState(
            jnp.int32(0),
            params,
            {**online_stats, "target": target_stats},
            optimizer.init(params),
            Queue(target, parts.moco_queue(trace, "init")),
        )
        compare = functools.partial(after, [target])
        recorded.run(trace, make, state, batch_of, compare, backend)

    recorded.for_some_rounding(check, online)


# Contrast and the bank


@recorded.kind("simclr")
@pytest.mark.parametrize("backend", recorded.BACKENDS)
def test_simclrs_loss(file, backend):
    trace = recorded.load(file)
    assert trace.meta["hidden_norm"], "SimCLR's code can leave rows unnormalized; ours does not"
    devices, hidden = trace.meta["devices"], trace.arrays["hidden"]
    hidden = hidden.reshape(devices, 2, -1, hidden.shape[-1]).swapaxes(1, 2)
    axis_name = recorded.axis_of(backend)
    method = methods.simclr(
        None,
        None,
        temperature=trace.meta["temperature"],
        sum_directions=True,
        axis_name=axis_name,
    )

    def mean_loss(projections):
        each, _, _ = method.objective({}, {"projections": projections}, (), {}, None, 0)
        return jnp.mean(each)

    # The gradient of the sum over devices: a gathered row sends its gradient home.
    local = jax.value_and_grad(mean_loss)
    mesh = Mesh(jax.devices()[:devices], train_step.AXIS)
    split = PartitionSpec(train_step.AXIS)
    want_loss = trace.arrays["loss"].reshape(devices)
    if backend == "pmap":
        loss, grad = jax.pmap(local, train_step.AXIS, devices=jax.devices()[:devices])(hidden)
    elif backend == "shard_map":

        def on_device(hidden):
            loss, grad = local(hidden[0])
            return loss[None], grad[None]

        loss, grad = jax.jit(jax.shard_map(on_device, mesh=mesh, in_specs=split, out_specs=split))(
            hidden
        )
    else:
        rows = hidden.reshape(-1, *hidden.shape[2:])
        loss, grad = jax.jit(local)(jax.device_put(rows, NamedSharding(mesh, split)))
        want_loss = want_loss.mean()  # of the global batch
        grad = grad.reshape(hidden.shape) * devices
    recorded.compare("loss", loss, want_loss, recorded.LOSS)
    wanted = trace.arrays["grad"].reshape(devices, 2, -1, hidden.shape[-1]).swapaxes(1, 2)
    recorded.compare("gradient", grad, wanted)


@recorded.kind("instdisc")
def test_instdisc(file):
    """Its features are unit rows; ours are made so within, which keeps the tangent's gradient."""
    trace = recorded.load(file)
    meta = trace.meta
    drawn = {}
    method = methods.instdisc(
        None,
        None,
        num_examples=meta["num_examples"],
        num_negatives=meta["num_negatives"],
        decay=meta["bank_momentum"],
        temperature=meta["temperature"],
        noise=lambda *_, **__: drawn["candidates"][:, 1:],
    )
    memory = Bank(jnp.asarray(trace.arrays["init/memory"]), jnp.float32(0))
    for i in range(meta["steps"]):
        batch, log = trace.under(f"batch/{i}/"), trace.under(f"log/{i}/")
        features = batch["features"]
        drawn["candidates"] = batch["candidates"].astype(np.int32)
        index = batch["index"].astype(np.int32)

        def mean_loss(features, memory=memory, index=index):
            outputs, given = {"projections": features[:, None]}, {"index": index, "row": index}
            each, kept, _ = method.objective({}, outputs, memory, given, None, 0)
            return jnp.mean(each), kept

        (loss, kept), grad = jax.value_and_grad(mean_loss, has_aux=True)(features)
        memory = method.update_memory(memory, (), kept, i)
        wanted = log["feature_grad"]
        wanted = wanted - features * np.sum(features * wanted, axis=1, keepdims=True)
        recorded.compare(f"step {i} loss", loss, log["loss"].reshape(()), recorded.LOSS)
        recorded.compare(f"step {i} gradient", grad, wanted)
        recorded.compare(f"step {i} bank", memory.bank, log["memory"])
        recorded.compare(f"step {i} normalizer", memory.normalizer, log["Z"], recorded.LOSS)


# LARS


@recorded.kind("lars_simclr")
def test_simclrs_lars(file):
    trace = recorded.load(file)
    meta = trace.meta
    excluded = meta["excluded_from_decay_and_adaptation"]
    params = trace.under("init/")
    rates = jnp.asarray([trace.arrays[f"lr/{i}"] for i in range(len(trace.under("lr/")))])
    optimizer = optimizers.lars(
        lambda step: rates[step],
        momentum=meta["momentum"],
        weight_decay=meta["weight_decay"],
        trust_coefficient=meta["eeta"],
        nesterov=meta["nesterov"],
        lr_in_momentum=meta["lr_inside_momentum"],
        mask=lambda tree: {name: not any(part in name for part in excluded) for name in tree},
    )
    opt_state = optimizer.init(params)
    for i in range(len(rates)):
        updates, opt_state = optimizer.update(trace.under(f"grad/{i}/"), opt_state, params)
        params = optax.apply_updates(params, updates)
        recorded.compare(f"step {i} params", params, trace.under(f"after/{i}/"))


# Augmentation


@pytest.mark.parametrize("code", ["byol", "torchvision"])
def test_augmentation(code):
    for images, key, wanted in recorded_operations.changed(f"augment_{code}"):
        got = jax.jit(jax.vmap(recorded_operations.operation(key, images.shape[1])))(images)
        if code == "torchvision":  # it clips, BYOL's operations do not
            got, wanted = jnp.clip(got, 0.0, 1.0), np.clip(wanted, 0.0, 1.0)
        np.testing.assert_allclose(got, wanted, atol=2e-5, err_msg=key)


# torchvision's ResNet


@recorded.kind("torchvision_resnet")
def test_the_bottleneck_resnet_is_torchvisions(file):
    trace = recorded.load(file)
    meta = trace.meta
    named_shapes = zip(meta["state_dict_names"], meta["state_dict_shapes"], strict=True)
    tensors = {
        name: names.torchvision_weight(meta, t, name, shape)
        for t, (name, shape) in enumerate(named_shapes)
    }
    params, stats = names.from_torch(tensors)
    net = networks.resnet(
        meta["layers"],
        bottleneck=True,
        inner_width=meta["width_per_group"] / 64,
        batch_norm=functools.partial(networks.BatchNorm, unbiased=True),
        padding="torch",
    )
    apply = jax.jit(net.apply, static_argnames="train")
    images, after = trace.arrays["images"], names.from_torch(trace.under("after_train/"))[1]
    for train, name in ((False, "eval/features"), (True, "train/features")):
        got, moved = apply(params["encoder"], stats["encoder"], images, train=train)
        recorded.compare(name, got, trace.arrays[name])
    recorded.compare("statistics", moved, after["encoder"])
