"""The benches measure what they say, and the comparison is found where its extra is."""

import importlib.util
import json
import os

import jax
import numpy as np
import pytest

from byol_jax import errors, log_sum_exp, main, plan
from byol_jax import losses as package_losses
from byol_jax.builders import parts
from byol_jax.commands.bench import (
    augment,
    input,
    losses,
    microbatches,
    nt_xent,
    peers,
    profile,
    start,
    step,
    timing,
    torch_step,
)
from byol_jax.config import fields


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    monkeypatch.setattr(augment, "_PIXELS", 8 * 20**2)
    monkeypatch.setattr(step, "_SIDE", 64)


def _config():
    config = fields.default()
    view = {"name": "plain", "order": ("crop", "flip"), "size": 12, "flip_probability": 0.5}
    config.data.image_size = 20
    config.views = {"first": view, "second": view}
    config.encoder = {"name": "resnet_tiny"}
    config.projector = {"widths": (8,)}
    config.method = {"name": "simclr", "temperature": 0.5}
    return config


def test_bench_augment_tells_images_per_second_and_how_to_compare(quick, monkeypatch, capsys):
    def missing(config, images):
        raise ModuleNotFoundError("no torch", name="torch")

    monkeypatch.setattr(augment, "_make_lightly_call", missing)
    rates = augment.measure(_config())
    assert list(rates) == ["byol_jax"] and rates["byol_jax"] > 0
    printed = capsys.readouterr().out
    assert "byol_jax[parity]" in printed and "torch is missing" in printed
    assert "8 images uint8[20, 20, 3] -> views float32[12, 12, 3], float32[12, 12, 3]" in printed


def test_the_ratio_is_the_median_of_rounds_that_alternate(quick, monkeypatch, capsys):
    turns = []
    monkeypatch.setattr(augment, "_make_jax_call", lambda *_: lambda: turns.append("ours"))
    monkeypatch.setattr(augment, "_make_lightly_call", lambda *_: lambda: turns.append("theirs"))
    rates = augment.measure(_config())
    assert turns == ["ours", "theirs"] * (1 + timing.ROUNDS)
    assert list(rates) == ["byol_jax", "lightly", "ratios"]
    timing.report({"byol_jax": [1.0, 2.0, 9.0], "lightly": [3.0, 4.0, 9.0]}, 10, "images/s")
    printed = capsys.readouterr().out
    ratio = "byol_jax is 2.00 times as fast as lightly (median of 3 rounds, range 1.00 to 3.00)"
    assert ratio in printed


@pytest.mark.parametrize("crops", ["host", "device"])
def test_bench_input_reads_what_a_step_gets(crops, quick, monkeypatch, capsys):
    def missing(*_):
        raise ModuleNotFoundError("no torch", name="torch")

    monkeypatch.setattr(input, "PEERS", {"torchvision": missing})
    config = _config()
    config.data.crops, config.data.image_size = crops, None
    rates = input.measure(config)
    assert list(rates) == ["cores", "byol_jax"] and rates["byol_jax"] > 0
    printed = capsys.readouterr().out
    assert "skipping torchvision: torch is missing" in printed
    assert f"10,000 images, read {'2 crops of each' if crops == 'host' else 'whole'}" in printed


def test_bench_losses_needs_no_config_and_tells_memory_and_ratio(quick, monkeypatch, capsys):
    monkeypatch.setattr(log_sum_exp, "TILE", 8)
    for name, size in {"QUERIES": 8, "QUEUE": 32, "BATCH": 16}.items():
        monkeypatch.setattr(losses, name, size)
    with pytest.raises(SystemExit) as leaving:
        main.run(["bench", "losses"])
    assert not leaving.value.code
    printed = capsys.readouterr().out
    for loss, sizes in {
        "info_nce": "[8, 128], [8, 128], [32, 128]",
        "nt_xent": "[16, 128]",
    }.items():
        assert f"{loss} of {sizes}" in printed and f"{loss} takes" in printed
    assert (
        "MiB above the start" in printed and "times as long as its matrix products alone" in printed
    )


@pytest.mark.parametrize("name", ["info_nce", "nt_xent"])
def test_bench_losses_counts_as_many_products_as_the_loss(name, monkeypatch):
    monkeypatch.setattr(log_sum_exp, "TILE", 8)

    def count(function):
        return jax.jit(function).lower(*arrays).compile().as_text().count(" dot(")

    if name == "nt_xent":
        loss, arrays = losses.make_nt_xent(16)
        assert count(loss) == count(losses._nt_xent_products) == 4
    else:
        loss, arrays = losses._info_nce(16, 32)
        assert count(loss) == count(lambda q, _, rows: losses._multiply(q, rows)) == 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux has it")
def test_one_core_is_given_back():
    before = os.sched_getaffinity(0)
    with timing.one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


def test_pictures_are_smooth():
    pictures = augment.smooth_images(4, (40, 32)).astype(np.float32)
    assert pictures.shape == (4, 40, 32, 3) and pictures.std() > 30
    assert np.abs(np.diff(pictures, axis=1)).mean() < pictures.std() / 3


def test_a_view_in_torchvision_has_the_size_and_the_operations(monkeypatch):
    pytest.importorskip("torchvision")
    pytest.importorskip("lightly")
    calls = augment._make_lightly_call(_config(), augment.smooth_images(2, (20, 20)))
    assert [tuple(view.shape) for view in calls()] == [(3, 12, 12)] * 4


def test_bench_wants_its_second_word():
    for words in ([], ["augmnt"], ["augment", "more"]):
        with pytest.raises(
            SystemExit,
            match="bench needs exactly one of augment, input, losses, microb",
        ):
            main.run(["bench", *words])


def test_peer_is_for_the_step_alone():
    with pytest.raises(SystemExit, match="--peer is only available for the benchmark `step`"):
        main.run(["bench", "augment", "--config=configs/quickstart.py", "--peer=torch"])


def _small_step(method="simclr"):
    config = _config()
    config.method = {"name": method}
    config.batch_size = 8
    return config


@pytest.mark.parametrize("method", ["simclr", "supervised"])
def test_bench_step_measures_the_trainers_step(method, quick, capsys):
    measurements = step.measure(_small_step(method))
    assert list(measurements) == [
        "byol_jax",
        "batch_size",
        "compile_seconds",
        "flops",
        "of_matmul",
        "peak_bytes",
    ]
    assert all(number > 0 for number in measurements.values())
    assert measurements["peak_bytes"] > 2**26  # jax alone takes more
    printed = capsys.readouterr().out
    assert "batch 8 x 2 views [12, 12, 3], float32, on 4 cpu devices" in printed


def test_a_batch_is_halved_until_the_step_fits(quick, monkeypatch, capsys):
    def compile_step(config, views, compile_step=step.compile_step):
        if len(views) > 8:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return compile_step(config, views)

    monkeypatch.setattr(step, "compile_step", compile_step)
    config = _small_step()
    config.batch_size = 32
    assert step.measure(config, fit=True)["batch_size"] == 8
    assert "out of memory; trying a batch of 16\nout of memory; trying a batch of 8\n" in (
        capsys.readouterr().out
    )
    config.batch_size = 32
    with pytest.raises(jax.errors.JaxRuntimeError):
        step.measure(config)
    monkeypatch.setattr(step, "compile_step", lambda config, views: compile_step(config, [0] * 9))
    with pytest.raises(ValueError, match="a batch of 4 examples does not fit into the memory"):
        step.measure(config, fit=True)


def test_the_kernels_with_the_most_time_are_shares_of_all(quick):
    x = jax.numpy.ones((300, 300))
    product = jax.jit(lambda x: jax.numpy.tanh(x @ x)).lower(x).compile()
    kernels = profile.largest(lambda: product(x).block_until_ready(), count=3)
    assert 1 <= len(kernels) <= 3
    assert list(kernels.values()) == sorted(kernels.values(), reverse=True)
    assert 0.5 < sum(kernels.values()) <= 1.0


def test_nt_xent_grows_until_a_call_is_slow_and_the_results_are_written(
    quick, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(nt_xent, "BATCHES", (8, 16, 32))
    monkeypatch.setattr(nt_xent, "_MOST_BYTES", 4 * 32**2)
    monkeypatch.setattr(log_sum_exp, "TILE", 8)
    with pytest.raises(SystemExit) as leaving:
        main.run(["bench", "nt_xent", f"--json={tmp_path / 'results.json'}"])
    assert not leaving.value.code
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results) == ["8", "16", "32"]
    assert list(results["16"]) == ["tiles", "matrix", "tiles MiB", "matrix MiB"]
    assert list(results["32"]) == ["tiles", "tiles MiB"]  # the matrix would be too large
    assert len(capsys.readouterr().out.splitlines()) == 4
    monkeypatch.setattr(nt_xent, "_MOST_SECONDS", 0.0)
    assert list(nt_xent.measure()) == ["8"]


def test_the_operations_counted_are_those_of_the_networks():
    config = _small_step()
    lowered, *_ = step._lower_step(config, step.random_views(config))
    config.batch_size = 16
    twice, *_ = step._lower_step(config, step.random_views(config))
    one, two = (plan.flops(each.compiler_ir("hlo").as_hlo_text()) for each in (lowered, twice))
    # resnet_tiny's products, forward and both gradients, of a device's 2 images and views
    stem, first, second = 144 * 27 * 8, 144 * 72 * 16, 36 * (72 * 16 + 144 * 16 + 8 * 16)
    forward = 2 * (stem + first + second)
    # without those of the padding, and of the images' own gradient
    assert 0.8 < (two - one) / (2 * 2 * 3 * forward) < 1.0


def test_remat_of_a_config_reaches_the_encoder():
    config = _small_step()
    config.remat = "odd"
    with pytest.raises(ValueError, match="unknown remat 'odd'; choose one of None, elementwise"):
        step._lower_step(config, step.random_views(config))
    lowered = []
    for config.remat in (None, "blocks"):
        lowered.append(step._lower_step(config, step.random_views(config))[0])
    whole, anew = (plan.flops(each.compiler_ir("hlo").as_hlo_text()) for each in lowered)
    assert 1.1 < anew / whole < 1.4


def test_an_unknown_peer_and_what_it_cannot_express_are_refused():
    with pytest.raises(ValueError, match="unknown peer 'tensorflow'; choose one of torch"):
        step.measure(_small_step(), peer=["tensorflow"])
    config = _small_step()
    for change, problem in (
        ({"method": {"name": "byol"}}, "method 'byol'"),
        ({"encoder": {"name": "resnet18", "stem": "strided"}}, "stem 'strided'"),
        ({"encoder": {"name": "resnet18", "width": 2}}, "encoder.width"),
    ):
        other = config.copy_and_resolve_references()
        with other.unlocked():
            for name, value in change.items():
                other[name] = value
        with pytest.raises(ValueError, match=f"--peer does not support .*{problem}|4 devices"):
            peers.make("torch", other, step.random_views(config))


@pytest.mark.parametrize("name", peers.NAMES)
def test_a_peer_takes_a_step_or_names_what_to_install(name, monkeypatch, capsys):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    config = _small_step()
    config.encoder = {"name": "resnet18", "stem": "cifar"}
    views = step.random_views(config)
    package = {"torch_compile": "torch", "stable_pretraining": "stable_pretraining"}.get(name, name)
    if importlib.util.find_spec(package) is None:
        with pytest.raises(errors.UserError, match=f"the peer {name} needs .*pip install"):
            peers.make(name, config, views)
        return
    if name == "torch_compile":
        pytest.skip("compiling takes a minute")
    peers.make(name, config, views)()
    assert f"{package} " in capsys.readouterr().out


def test_the_allocator_is_named(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    assert timing.allocator().endswith(" with MALLOC_ARENA_MAX=1")


def test_microbatches_are_compared_with_one_batch(quick, capsys):
    config = _small_step()
    with pytest.raises(errors.UserError, match="set --config.microbatches=8"):
        microbatches.measure(config)
    config.microbatches = 2
    results = microbatches.measure(config)
    assert list(results) == ["byol_jax", "one_batch", "ratios"]
    assert "byol_jax is " in capsys.readouterr().out


def test_a_start_that_fails_shows_the_runs_error():
    config = _small_step()
    config.batch_size = 20_000
    with pytest.raises(errors.UserError, match="ended before its first step:\n.*larger than the"):
        start.measure(config, rounds=1)


@pytest.mark.slow
def test_a_start_is_timed_until_the_first_step(capsys):
    config = _small_step()
    results = start.measure(config, rounds=1)
    assert list(results) == ["import", "cold", "warm"]
    assert 0 < results["import"] < results["warm"] < results["cold"]
    assert "first step after" in capsys.readouterr().out


def test_pytorchs_loss_is_ours():
    torch = pytest.importorskip("torch")
    a, b = np.random.default_rng(0).standard_normal((2, 6, 4), np.float32)
    theirs = torch_step._nt_xent(torch.from_numpy(np.concatenate([a, b])), 0.5)
    ours = package_losses.nt_xent(a, b, temperature=0.5).mean()
    np.testing.assert_allclose(theirs.item(), ours, rtol=1e-5)


def test_pytorchs_network_has_as_many_parameters(quick):
    pytest.importorskip("torchvision")
    config = _config()
    config.encoder = {"name": "resnet18", "stem": "cifar"}
    encoder = torch_step._encoder(config.encoder)
    projector = torch_step._projector(config.projector, encoder.fc.in_features)
    sizes = [p.numel() for part in (encoder, projector) for p in part.parameters()]
    theirs = sum(sizes) - sum(p.numel() for p in encoder.fc.parameters())
    built = parts.build(config, num_examples=256, num_classes=None, axis_name=None)
    images = np.zeros((2, 32, 32, 3), np.float32)
    params, *_ = jax.eval_shape(built.method.init, jax.random.key(0), (images, images))
    assert theirs == sum(x.size for x in jax.tree.leaves(params))
