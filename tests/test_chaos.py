"""Runs in one and in several processes are killed, and end as if they had not been."""

import re
import shutil
import signal
import socket
import time
from signal import SIGKILL, SIGTERM

import numpy as np
import pytest

import chaos
from byol_jax import checkpoint, data, hosts
from support import pictures, processes


def _chaos(tmp_path, count, planned):
    lines = []
    moments = [chaos.Moment(*one) for one in planned]
    wrong = chaos.chaos(tmp_path / "runs", count, moments, tmp_path / "compiled", lines.append)
    assert not wrong, "\n".join(lines)
    return "\n".join(lines)


def test_a_run_killed_in_a_save_told_to_stop_and_killed_in_its_steps_ends_bitwise_the_same(
    tmp_path,
):
    planned = [("save", 0.0, SIGKILL, 0), ("steps", 0.1, SIGTERM, 0), ("steps", 0.2, SIGKILL, 0)]
    output = _chaos(tmp_path, 1, planned)
    assert "while saving, partial checkpoint left; ended by SIGKILL" in output
    _changed_is_seen(tmp_path / "runs")


def _changed_is_seen(runs):
    """The comparison itself: an older checkpoint, or a step less, is another end."""
    checkpoints = runs / "disturbed" / "checkpoints"
    newest = max(int(f.name) for f in checkpoints.iterdir() if f.name.isdigit())
    shutil.rmtree(checkpoints / str(newest))
    metrics = runs / "disturbed" / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:-1]))
    found = chaos.differences(runs)
    assert "step differs" in found and "the metrics differ" in found
    assert any(name.startswith("params/") for name in found)


@pytest.mark.slow
def test_two_processes_killed_one_by_one_end_bitwise_the_same(tmp_path):
    planned = [("save", 0.01, SIGKILL, 0), ("steps", 0.1, SIGTERM, 1), ("steps", 0.2, SIGKILL, 1)]
    _chaos(tmp_path, 2, planned)


def test_a_verdict_names_what_should_not_be():
    """Of exit codes alone."""

    def wrong(codes, sent, step=9):
        return chaos._wrong(codes, chaos.Moment("steps", 0.0, sent, 0), step)

    assert wrong([-9, 76], SIGKILL) == wrong([-9, -6], SIGKILL) == wrong([75, 75], SIGTERM) == []
    assert wrong([-9, 1], SIGKILL, step=0) == wrong([-15, 1], SIGTERM, step=0) == []
    assert "not all processes ended by themselves" in wrong([-9, None], SIGKILL)
    assert "no process noticed the signal" in wrong([0, 0], SIGTERM)
    assert "not all processes ended by 75" in wrong([75, 76], SIGTERM)
    assert "an exit code is not one of" in wrong([-9, 1], SIGKILL)[0]


def _start(tmp_path, *, count=2, epochs=2, timeout=20, name="run", port=None, ids=(0, 1), more=()):
    logs = tmp_path / "logs"
    logs.mkdir(exist_ok=True)
    port = port or processes.free_port()
    own = (f"--config.epochs={epochs}", *more)
    flags = [own + processes.cluster_flags(port, count, number, timeout=timeout) for number in ids]
    cache = tmp_path / "compiled"
    return processes.Processes(tmp_path / name, flags, logs=logs, cache=cache)


def test_the_command_tells_who_did_not_come_and_ends(tmp_path):
    with _start(tmp_path, ids=(0,), timeout=2) as run:
        assert run.wait(60) == [1]
        last = run.output().splitlines()[-1]
    assert last == (
        "byol_jax: timed out after 2 s: process 1 of 2 did not connect; connected: 0 "
        f"({socket.gethostname()}). See the logs of all processes, then start them again."
    )


@pytest.mark.slow
def test_where_one_is_killed_the_other_ends_and_names_it_and_the_same_command_goes_on(tmp_path):
    port = processes.free_port()
    with _start(tmp_path, epochs=400, port=port) as run:
        assert run.until_step(8), run.output(0) + run.output(1)
        run.all[1].send_signal(signal.SIGKILL)
        codes = run.wait(30)
        assert codes[0] in (hosts.LOST, -signal.SIGABRT) and codes[1] == -signal.SIGKILL
        output = run.output()
        assert "process 1 of 2 died. Look for the cause" in output or "task:1" in output, output
    with _start(tmp_path, epochs=400, port=port) as run:
        assert run.until_step(9), run.output(0) + run.output(1)
        assert "resuming" in run.output() and "from step" in run.output()
        run.all[0].send_signal(signal.SIGTERM)
        assert run.wait(30) == [hosts.PREEMPTED] * 2


def test_the_note_of_the_layout_is_not_written_again_where_others_read_it(tmp_path):
    """One that is killed between emptying it and writing it would leave a run that cannot go on."""
    state = {"x": np.zeros(3, np.float32)}
    with checkpoint.Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(1, state)
    note = tmp_path / "checkpoints" / "layout"
    before = note.stat()
    with checkpoint.Checkpoints(tmp_path, keep=1) as checkpoints:
        assert checkpoints.latest_step() == 1
    after = note.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert not note.with_suffix(".partial").exists()


@pytest.mark.slow
def test_where_one_has_an_error_of_its_own_it_tells_and_the_other_names_it(tmp_path):
    """Here the one that meets a damaged record: the other waits for it in a step."""
    pictures.folder(tmp_path / "in", 96)
    data.prepare(tmp_path / "in", tmp_path / "out")
    (file,) = (tmp_path / "out").glob("*.array_record*")
    stored = bytearray(file.read_bytes())
    stored[stored.index(b"IDAT") + 10] ^= 1
    file.write_bytes(stored)
    more = [f"--config.data.name={tmp_path / 'out'}", "--config.data.train_split=train"]
    more += ["--config.data.mode=streamed", "--config.data.workers=0"]
    with _start(tmp_path, more=more) as run:
        codes = run.wait(60)
        outputs = [run.output(number) for number in (0, 1)]
    bad = codes.index(1)
    assert codes[1 - bad] in (hosts.LOST, -signal.SIGABRT)
    assert "byol_jax: split 'train' of data set" in outputs[bad].splitlines()[-1]
    assert f"process {bad} of 2 died. Look for the cause" in outputs[1 - bad] or bad == 0


@pytest.mark.slow
def test_sigterm_to_one_stops_both_at_one_step_and_the_end_is_bitwise_the_same(tmp_path):
    with _start(tmp_path, epochs=20, name="undisturbed") as run:
        assert run.wait(120) == [0, 0]
    with _start(tmp_path, epochs=20, name="disturbed") as run:
        assert run.until_step(4), run.output(0) + run.output(1)
        run.all[1].send_signal(signal.SIGTERM)
        assert run.wait(30) == [hosts.PREEMPTED] * 2
        ends = [run.output(number).splitlines()[-1] for number in (0, 1)]
    saved = max(int(f.name) for f in (tmp_path / "disturbed/checkpoints").iterdir() if f.is_dir())
    message = (
        f"stopped after step {saved} of 60 as requested; the state is saved. Run the same command "
        "to resume."
    )
    assert ends == [f"byol_jax: {message}"] * 2
    assert not processes.half_written(tmp_path / "disturbed")
    with _start(tmp_path, epochs=20, name="disturbed") as run:
        assert run.wait(120) == [0, 0]
        assert f"from step {saved}" in run.output()
    assert chaos.differences(tmp_path) == []
    assert [line["step"] for line in processes.lines(tmp_path / "disturbed")] == list(range(1, 61))


@pytest.mark.slow
def test_a_resumed_run_stops_soon_whether_it_is_told_before_its_first_step_or_after(tmp_path):
    """A step counter that JAX misreads shows only after many steps: the run stops late or never."""
    port, saved = processes.free_port(), []
    for moment in ("step 60/", "resuming", "step "):
        with _start(tmp_path, epochs=400, port=port) as run:
            while not re.search(f"^ ?{moment}", run.output(), re.MULTILINE):
                assert not run.ended(), run.output()
                time.sleep(0.005)
            run.all[0].send_signal(signal.SIGTERM)
            assert run.wait(60) == [hosts.PREEMPTED] * 2
        saved.append(max(int(f.name) for f in (tmp_path / "run/checkpoints").glob("[0-9]*[0-9]")))
    assert saved[1] < saved[0] + 40 and saved[2] < saved[1] + 40, saved
