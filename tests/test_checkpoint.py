"""Checkpoints: what comes back is bitwise what was saved, and what cannot come back says why."""

import json
import resource
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from byol_jax import checkpoint, optimizers, train_state, workdir
from byol_jax.config import saved


class _Memory(NamedTuple):
    rows: jax.Array
    cursor: jax.Array


def _state(seed, width=4):
    keys = jax.random.split(jax.random.key(seed), 3)
    params = {"encoder": {"kernel": jax.random.normal(keys[0], (3, width))}}
    optimizer = optax.chain(optimizers.lars(0.1), optax.scale_by_adam())
    rows = jax.random.normal(keys[1], (5, 2)).astype(jnp.bfloat16)
    memory = _Memory(rows, jnp.int32(seed))
    stats = {"encoder": {"mean": jnp.full(3, jnp.nan)}}
    return train_state.TrainState(
        jnp.int32(seed), params, stats, optimizer.init(params), memory, ()
    )


def _assert_equal(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert a.dtype == b.dtype and np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_a_state_comes_back_bitwise_in_its_own_classes(tmp_path):
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest_step() is None
        checkpoints.save(7, _state(7))
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest_step() == 7
        _assert_equal(checkpoints.restore(_state(0)), _state(7))


def test_a_saved_state_may_be_donated_at_once(tmp_path):
    move = jax.jit(lambda s: jax.tree.map(lambda x: x + jnp.ones((), x.dtype), s), donate_argnums=0)
    state = _state(7)
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(7, state)
        for _ in range(50):
            state = move(state)
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        _assert_equal(checkpoints.restore(_state(0)), _state(7))


def test_the_newest_are_kept(tmp_path):
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, _state(step))
    kept = {int(f.name) for f in (tmp_path / "checkpoints").iterdir() if f.name.isdigit()}
    assert kept == {2, 3}


def test_another_network_is_named_leaf_by_leaf(tmp_path):
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(1, _state(1))
        words = (
            r"params/encoder/kernel is float32 \[3, 4\], expected float32 \[3, 6\]"
            r".*another --workdir"
        )
        with pytest.raises(ValueError, match=words):
            checkpoints.restore(_state(1, width=6))
        more = _state(1)._replace(probe={"bias": jnp.zeros(2)})
        with pytest.raises(ValueError, match="probe/bias is missing"):
            checkpoints.restore(more)


def test_a_checkpoint_of_4_devices_comes_back_on_1_and_again(tmp_path):
    code = (
        "import sys, jax, numpy as np\n"
        "from byol_jax import checkpoint\n"
        "from byol_jax.system import devices\n"
        "count, workdir = int(sys.argv[1]), sys.argv[2]\n"
        "jax.config.update('jax_num_cpu_devices', count)\n"
        "rows = np.arange(6.0, dtype=np.float32)\n"
        "with checkpoint.Checkpoints(workdir, keep=1) as mine:\n"
        "    if mine.latest_step():\n"
        "        rows = mine.restore({'rows': rows})['rows'] + 1\n"
        "    mine.save((mine.latest_step() or 0) + 1, devices.replicate({'rows': rows}))\n"
    )
    for count in ("4", "1", "2"):
        subprocess.run([sys.executable, "-c", code, count, str(tmp_path)], check=True)
    with checkpoint.Checkpoints(tmp_path, keep=1) as mine:
        assert mine.latest_step() == 3
        rows = mine.restore({"rows": np.zeros(6, np.float32)})["rows"]
    np.testing.assert_array_equal(rows, np.arange(6) + 2)


def test_another_type_is_refused(tmp_path):
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(1, _state(1))
        other = _state(1)._replace(step=jnp.float32(0))
        with pytest.raises(ValueError, match=r"step is int32 \[\], expected float32 \[\]"):
            checkpoints.restore(other)


def test_no_checkpoint_says_to_train_first(tmp_path):
    words = "run `train` with this --workdir first"
    checkpoints = checkpoint.Checkpoints(tmp_path, keep=2)
    with checkpoints, pytest.raises(FileNotFoundError, match=words):
        checkpoints.restore(_state(0))


def _truncate(folder):
    for file in folder.rglob("manifest.ocdbt"):
        file.write_bytes(file.read_bytes()[:10])


def _remove_a_file(folder):
    next(file for file in folder.rglob("d/*") if file.is_file()).unlink()


def _flip_a_bit(folder):
    """In the largest file of array data, in its middle."""
    file = max((f for f in folder.rglob("d/*") if f.is_file()), key=lambda f: f.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [_truncate, _remove_a_file, _flip_a_bit])
def test_a_damaged_newest_is_set_aside_and_the_one_before_is_used(damage, tmp_path):
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(1, _state(1))
        checkpoints.save(2, _state(2))
    damage(tmp_path / "checkpoints/2")
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        with pytest.raises(checkpoint.Damaged, match=r"of step 2 in .*checkpoints is damaged \("):
            checkpoints.restore(_state(0))
        state, (message,) = checkpoints.restore_whole(_state(0))
        _assert_equal(state, _state(1))
        assert message.startswith("the checkpoint of step 2 in ")
        assert message.endswith(f"It was moved to {tmp_path / 'damaged/2'}.")
        assert checkpoints.steps() == [1] and (tmp_path / "damaged/2").is_dir()
        checkpoints.save(2, _state(3))
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        _assert_equal(checkpoints.restore(_state(0)), _state(3))


def test_where_none_is_whole_nothing_is_set_aside(tmp_path):
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(1, _state(1))
    _truncate(tmp_path / "checkpoints/1")
    checkpoints = checkpoint.Checkpoints(tmp_path, keep=2)
    with checkpoints, pytest.raises(checkpoint.Damaged, match="is damaged"):
        checkpoints.restore_whole(_state(0))
    assert (tmp_path / "checkpoints/1").is_dir()


def test_a_number_that_changed_on_disk_is_named(tmp_path, monkeypatch):
    """Where the file system's own checks pass, ours do not."""
    real = checkpoint._checksums
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        monkeypatch.setattr(checkpoint, "_checksums", lambda flat: real(flat) + np.uint32(1))
        checkpoints.save(1, _state(1))
        checkpoints.wait()
        monkeypatch.undo()
        with pytest.raises(checkpoint.Damaged, match="has changed since it was saved"):
            checkpoints.restore(_state(0))


def test_another_layout_names_both(tmp_path):
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(1, _state(1))
    (tmp_path / "checkpoints/layout").write_text("7\n")
    with pytest.raises(
        ValueError, match="of layout 7, but this version of byol_jax reads layout 2. Use"
    ):
        checkpoint.Checkpoints(tmp_path, keep=2)
    (tmp_path / "checkpoints/layout").unlink()
    with pytest.raises(ValueError, match="of layout 1, but"):
        checkpoint.Checkpoints(tmp_path, keep=None)


def _limit_files(size):
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def test_a_full_disk_loses_no_earlier_checkpoint_and_the_next_save_works(tmp_path):
    """Saves of steps 1 and 3 have room, that of step 2 has not."""
    states = {n: _state(n)._replace(probe=jax.random.normal(jax.random.key(n), (512, 1024)))
              for n in (1, 2, 3)}  # fmt: skip
    with checkpoint.Checkpoints(tmp_path, keep=2) as mine:
        mine.save(1, states[1])
        mine.wait()
        _limit_files(2**20)  # of bytes: no file may grow beyond
        try:
            words = r"cannot save a checkpoint in .*checkpoints .*Earlier checkpoints are intact"
            with pytest.raises(OSError, match=words):
                mine.save(2, states[2])
                mine.wait()
            assert mine.steps() == [1]
            _assert_equal(mine.restore(_state(0)._replace(probe=states[1].probe)), states[1])
        finally:
            _limit_files(resource.RLIM_INFINITY)
        mine.save(3, states[3])
    with checkpoint.Checkpoints(tmp_path, keep=2) as mine:
        assert mine.steps() == [1, 3]
        _assert_equal(mine.restore(states[1]), states[3])
    assert not list((tmp_path / "checkpoints").glob("*tmp*"))


_CONFIG = {"method": {"name": "byol", "decay": 0.99}, "log_every_steps": 5}


def test_a_workdir_belongs_to_one_experiment(tmp_path):
    workdir.write_config(tmp_path, _CONFIG)
    other = ConfigDict({**_CONFIG, "method": {"name": "byol", "decay": 0.9}})
    saved.check_same(tmp_path, other)  # without a checkpoint it is nobody's
    (tmp_path / "checkpoints/3").mkdir(parents=True)
    saved.check_same(tmp_path, ConfigDict(_CONFIG))
    words = "another experiment's checkpoint: method.decay was 0.99 and is 0.9. Give another"
    with pytest.raises(ValueError, match=words):
        saved.check_same(tmp_path, other)
    assert json.loads((tmp_path / "config.json").read_text()) == _CONFIG


def test_free_fields_may_change(tmp_path):
    workdir.write_config(tmp_path, _CONFIG)
    (tmp_path / "checkpoints/3").mkdir(parents=True)
    saved.check_same(tmp_path, ConfigDict({**_CONFIG, "log_every_steps": 50}))


def test_a_save_does_not_ask_jax_whether_to_stop(tmp_path, monkeypatch):
    """The count that it asks by would be taken for the loop's."""

    def asked(step):
        raise AssertionError(f"asked by {step}")

    monkeypatch.setattr(checkpoint.multihost_utils, "reached_preemption_sync_point", asked)
    with checkpoint.Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(7, _state(0))
        assert checkpoints.latest_step() == 7
