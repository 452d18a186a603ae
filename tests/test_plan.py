"""The costs of a compiled step, counted by hand; and the shapes it is lowered from."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from byol_jax import plan
from byol_jax.builders import inputs, lowering, step
from byol_jax.config import fields
from byol_jax.plan import compiled, costs, gpus, hlo

ROOT = Path(__file__).parents[1]

# A loop of five over a sum on four devices; a gather on pairs, begun in one fusion, gone on with in
# another; and slices of an array in memory (100 rows), of which a fusion reads one row.
TEXT = """HloModule step, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  %b = f32[]{:T(128)} parameter(1)
  ROOT %sum = f32[]{:T(128)} add(%a, %b)
}

%condition (state: (s32[], f32[10])) -> pred[] {
  %state.1 = (s32[]{:T(128)}, f32[10]{0:T(128)}) parameter(0)
  %limit = s32[]{:T(128)} constant(5)
  %i = s32[]{:T(128)} get-tuple-element(%state.1), index=0
  ROOT %less = pred[]{:T(512)} compare(%i, %limit), direction=LT
}

%body (state: (s32[], f32[10])) -> (s32[], f32[10]) {
  %state.2 = (s32[]{:T(128)}, f32[10]{0:T(128)}) parameter(0)
  %x = f32[10]{0:T(128)S(1)} get-tuple-element(%state.2), index=1
  %all-reduce = f32[10]{0:T(128)S(1)} all-reduce(%x), channel_id=1, replica_groups=[1,4]<=[4], to_apply=%add
  %j = s32[]{:T(128)} get-tuple-element(%state.2), index=0
  ROOT %next = (s32[]{:T(128)}, /*index=1*/f32[10]{0:T(128)}) tuple(%j, %all-reduce)
}

%start (p: bf16[3]) -> bf16[6] {
  %p = bf16[3]{0:T(256)S(1)} parameter(0)
  ROOT %gather.1 = bf16[6]{0:T(256)S(1)} all-gather(%p), replica_groups={{0,1},{2,3}}, dimensions={0}, frontend_attributes={chain_id="0"}
}

%beside (p: bf16[3]) -> bf16[6] {
  %p.1 = bf16[3]{0:T(256)S(1)} parameter(0)
  ROOT %gather.2 = bf16[6]{0:T(256)S(1)} all-gather(%p.1), replica_groups={{0,1},{2,3}}, dimensions={0}, frontend_attributes={chain_id="0"}
}

%row (table: f32[100,10], i: s32[]) -> f32[1,10] {
  %table = f32[100,10]{1,0:T(8,128)} parameter(0)
  %number = s32[]{:T(128)} parameter(1)
  ROOT %slice = f32[1,10]{1,0:T(1,128)} dynamic-slice(%table, %number, %number), dynamic_slice_sizes={1,10}
}

ENTRY %main (t: f32[100,10], g: bf16[3]) -> f32[1,10] {
  %t = f32[100,10]{1,0:T(8,128)} parameter(0)
  %g = bf16[3]{0:T(256)S(1)} parameter(1)
  %zero = s32[]{:T(128)S(6)} constant(0)
  %tuple.1 = (s32[]{:T(128)}, f32[10]{0:T(128)}) tuple(%zero, %t)
  %while.1 = (s32[]{:T(128)}, f32[10]{0:T(128)}) while(%tuple.1), condition=%condition, body=%body
  %f.1 = bf16[6]{0:T(256)S(1)} fusion(%g), kind=kCustom, calls=%start
  %f.2 = bf16[6]{0:T(256)S(1)} fusion(%g), kind=kCustom, calls=%beside
  ROOT %f.3 = f32[1,10]{1,0:T(1,128)} fusion(%t, %zero), kind=kLoop, calls=%row, metadata={op_name="jit(f)/shard_map/a/b/c"}
}
"""  # noqa: E501


def test_collectives_count_as_often_as_they_run_and_an_asynchronous_one_once():
    found = costs.analyze(TEXT, TEXT)
    assert found.counts == {"all-reduce": 5, "all-gather": 1}
    assert found.sent == {"all-reduce": 5 * 2 * 3 / 4 * 40, "all-gather": (2 - 1) * 6}


def test_only_what_is_in_memory_counts_and_of_a_slice_only_what_is_taken():
    found = costs.analyze(TEXT, TEXT)
    assert found.read_and_written == 40 + 40  # a row read, a row written
    assert found.by_scope["jit(f)/shard_map/a/b/c"] == 80


def test_an_array_knows_its_bytes_and_where_it_is():
    there, here = hlo.arrays("(bf16[2,3]{1,0:T(8,128)(2,1)}, /*index=1*/f32[]{:T(128)S(1)})")
    assert (there.size, there.in_memory, here.size, here.in_memory) == (12, True, 4, False)


def test_a_text_without_an_entry_is_refused():
    with pytest.raises(ValueError, match="no ENTRY"):
        hlo.parse("HloModule empty")


def _convolve(x, kernel, stride, padding):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=dimensions
    )


@pytest.mark.parametrize(("stride", "padding"), [(1, "SAME"), (2, "SAME"), (2, "VALID")])
def test_the_operations_of_a_convolution_and_its_gradients_are_those_that_xla_counts(
    stride, padding
):
    def loss(x, kernel):
        return jnp.sum(_convolve(x, kernel, stride, padding))

    x, kernel = jnp.zeros((2, 9, 8, 3)), jnp.zeros((3, 3, 3, 5))
    for f in (lambda *a: _convolve(*a, stride, padding), jax.grad(loss), jax.grad(loss, argnums=1)):
        lowered = jax.jit(f).lower(x, kernel)
        text = lowered.compiler_ir("hlo").as_hlo_text()
        ours = costs.flops(text)
        np.testing.assert_allclose(ours, lowered.cost_analysis()["flops"], rtol=0.02)


def test_a_product_in_a_loop_counts_as_often_as_it_runs():
    def f(x, weights):
        return jax.lax.scan(lambda x, w: (x @ w, None), x, weights)[0]

    lowered = jax.jit(f).lower(jnp.zeros((4, 6)), jnp.zeros((7, 6, 6)))
    text = lowered.compiler_ir("hlo").as_hlo_text()
    assert costs.flops(text) == 7 * 2 * 4 * 6 * 6


def test_a_loop_whose_length_the_compiler_knows_runs_so_often():
    known = ', backend_config={"known_trip_count":{"n":"9"}}'
    text = TEXT.replace("body=%body\n", f"body=%body{known}\n")
    assert costs.analyze(text, text).counts["all-reduce"] == 9


def test_each_device_performs_its_part_of_the_operations():
    config = _config("fashion_mnist_10k")
    source = lowering.outline(config)

    def flops(count):
        lowered = lowering.lower(config, source, jax.devices()[:count])
        return costs.flops(lowered.compiler_ir("hlo").as_hlo_text())

    # The loss alone is more than its part: each device compares its rows with all rows.
    assert 0.25 <= flops(4) / flops(1) < 0.26


@pytest.mark.parametrize(
    ("precision", "dtype", "kind"),
    [("highest", "float32", "highest"), ("high", "float32", "highest")]
    + [(None, "float32", "float32"), ("highest", "bfloat16", "bfloat16")],
)
def test_products_count_by_how_the_chip_computes_them(precision, dtype, kind):
    def f(x, weights):
        return jnp.matmul(x, weights, precision=precision)

    with jax.default_matmul_precision("default"):
        lowered = jax.jit(f).lower(jnp.zeros((4, 6), dtype), jnp.zeros((6, 8), dtype))
    text = lowered.compiler_ir("hlo").as_hlo_text()
    found = costs.flops_by_kind(text)
    assert found.pop(kind) == 2 * 4 * 6 * 8
    assert not any(found.values())


def test_the_roofline_is_the_slowest_of_three():
    chip = plan.Chip(100.0, 50.0, 10.0, memory=1.0, bandwidth=10.0, interconnect=5.0)
    flops = {"bfloat16": 80.0, "float32": 50.0, "highest": 2.0}
    moved = costs.Costs(flops, 30.0, {"all-reduce": 4.0, "all-gather": 1.0}, {}, {})
    limits = plan.roofline(moved, chip)
    assert limits == (2.0, 3.0, 1.0)
    assert (limits.seconds, limits.bound) == (3.0, "memory")


@pytest.mark.parametrize(("most", "first"), [(37, 8), (37, 64), (3, 64), (0, 8)])
def test_the_largest_batch_is_found_to_an_eighth(most, first):
    tried = []

    def compile_at(size):
        tried.append(size)
        return compiled.Plan(size, compiled.Program(size <= most, {}, 0.0, None), None)

    best = plan.largest(compile_at, compile_at(first))
    assert best <= most <= best + max(1, best // 8)
    assert len(tried) == len(set(tried)) <= 8


def test_the_compilers_complaint_tells_the_memory_that_was_wanted():
    message = "RESOURCE_EXHAUSTED: the total memory required for HLO temporaries (200.5G) exceeds"
    assert compiled._requested_memory(message) == {"temporaries": 200.5 * 2**30}
    assert compiled._requested_memory("INTERNAL: something else") is None


def test_without_libtpu_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"byol_jax\[plan\]"):
        plan.devices("v5e:4x4")


def test_without_the_plugin_for_cuda_the_error_names_the_extra(monkeypatch):
    for plugin in gpus._PLUGINS:
        monkeypatch.setitem(sys.modules, plugin, None)  # importing it raises ImportError
    with pytest.raises(ImportError, match=r"byol_jax\[plan_cuda\]"):
        plan.devices("h100:8")


@pytest.mark.parametrize("topology", ["v5e", "v9:2x2", "", "h100", "h100:2x8", "gtx1080:1"])
def test_an_unknown_topology_is_refused(topology):
    with pytest.raises(ValueError, match="v5e:4x4.*h100:8"):
        plan.devices(topology)


@pytest.mark.parametrize("topology", ["h100:0", "a100:9"])
def test_more_gpus_than_a_host_has_are_refused(topology):
    with pytest.raises(ValueError, match="1 to 8 GPUs"):
        plan.devices(topology)


def test_a_share_of_the_memory_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("XLA_CLIENT_MEM_FRACTION", "most")
    with pytest.raises(ValueError, match="XLA_CLIENT_MEM_FRACTION must be a number .* not 'most'"):
        plan.devices("h100:8")


def _program(gigabytes):
    return compiled.Program(gigabytes <= 60, {"total": gigabytes * 2**30}, 0.0, "")


def test_a_program_that_fits_only_in_the_whole_memory_of_a_gpu_is_told_how():
    chip = plan.Chip(1.0, 1.0, 1.0, 80 * 2**30, 1.0, 1.0, share=0.75)
    programs = {"knn": _program(59), "linear": _program(65), "logistic": _program(79)}
    knn, linear, logistic = plan.evaluation_lines(programs, chip)
    assert "59.00 GiB of 60.00 GiB (75% of 80.00 GiB): it fits" in knn
    assert "NOT fit; set XLA_CLIENT_MEM_FRACTION=0.92" in linear
    assert "NOT fit" in logistic and "XLA_CLIENT_MEM_FRACTION" not in logistic


def test_the_evaluation_is_lowered_with_the_sizes_of_the_data():
    config = _config("fashion_mnist_10k")
    config.evaluate.protocols = ("knn", "linear", "logistic", "probe", "semi")
    config.evaluate.options.probe = {"recipe": "moco", "batch_size": 64}
    evaluation = lowering.lower_evaluation(config, lowering.outline(config), jax.devices()[:4])
    inputs_of = {
        name: [x.shape for x in jax.tree.leaves(program.in_avals)]
        for name, program in evaluation.programs.items()
    }
    assert (500, 28, 28, 1) in inputs_of["features"]
    num_features = evaluation.programs["features"].out_info.shape[-1]
    for name in ("knn", "linear", "logistic"):
        assert (10_000, num_features) in inputs_of[name]
    assert (16, 28, 28, 1) in inputs_of["probe, training"]  # 64 images on 4 devices
    assert (8, 28, 28, 1) in inputs_of["semi, training"]
    assert (125, 28, 28, 1) in inputs_of["semi, testing"]
    assert evaluation.resident > 0


def test_the_evaluation_of_another_data_set_needs_its_size():
    config = _config("cifar10")
    config.evaluate.data.name = "imagenet2012"
    config.evaluate.data.image_size = 16
    programs = lowering.lower_evaluation(
        config, lowering.outline(config), jax.devices()[:1]
    ).programs
    assert any(x.shape[:1] == (1_281_167,) for x in jax.tree.leaves(programs["knn"].in_avals))
    config.evaluate.data.name = "stl10"
    with pytest.raises(ValueError, match="stl10"):
        lowering.lower_evaluation(config, lowering.outline(config), jax.devices()[:1])


def test_without_protocols_there_is_no_evaluation():
    config = _config("fashion_mnist_10k")
    config.evaluate.protocols = ()
    assert lowering.lower_evaluation(config, lowering.outline(config), jax.devices()[:1]) is None


def _config(name, **options):
    config = fields.default()
    config.data.update({"name": name, **options})
    view = {"name": "plain", "order": ("crop", "flip"), "size": 16}
    config.views = {"first": view, "second": dict(view)}
    config.encoder = {"name": "resnet_tiny"}
    config.projector = {"widths": (12, 10)}
    config.method = {"name": "simclr"}
    config.batch_size = 8
    return config


def _shapes(config, num_devices=4, **options):
    source = lowering.outline(config, **options)
    images = inputs.choose(config, source)
    built = step.make_parts(config, source, images)
    return lowering.shapes(config, built, source, images, num_devices)


def test_data_that_are_not_prepared_are_known_by_their_features():
    _, batch = _shapes(_config("imagenet2012"))
    assert {name: (x.shape, x.dtype) for name, x in batch.items()} == {
        "image": ((4, 2, 2, 16, 16, 3), "uint8"),  # devices, B, views, cut on the host
        "label": ((4, 2), "int32"),
        "index": ((4, 2), "int32"),
    }
    with pytest.raises(ValueError, match="--num_examples"):
        _shapes(_config("stl10"))
    assert len(lowering.outline(_config("stl10"), num_examples=5000)) == 5000


def test_resident_data_send_the_index_alone():
    _, batch, examples = _shapes(_config("fashion_mnist_10k"))
    assert set(batch) == {"index"}
    assert examples["image"].shape == (10_000, 28, 28, 1)


def test_the_shapes_are_those_of_the_first_state_and_can_be_lowered():
    config = _config("fashion_mnist_10k")
    source = lowering.outline(config)
    way = inputs.choose(config, source)
    built = step.make_parts(config, source, way)
    state = step.first_state(config, built, source, way)()
    described = lowering.shapes(config, built, source, way, 4)[0]
    same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), state, described)
    assert jax.tree.all(same)
    assert "all_reduce" in lowering.lower(config, source, jax.devices()[:4]).as_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "topology"),
    [("libtpu", "v5e:2x2"), ("jax_plugins.xla_cuda13", "h100:4")],
)
def test_a_small_run_compiles_for_chips_that_are_not_here(compiler, topology):
    pytest.importorskip(compiler)
    # In a process of its own, because a plugin is found before JAX starts.
    program = f"""
from byol_jax.commands import plan
from tests.test_plan import _config

found = plan.report(_config("fashion_mnist_10k"), "{topology}")
assert found.program.fits and found.costs.counts["all-reduce"] > 0
assert 0 < found.program.memory["total"] < 2**30
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "bound by" in result.stdout
    for name in ("features", "knn", "linear"):
        assert f"evaluation, {name}: " in result.stdout
