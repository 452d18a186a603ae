"""Reports: metrics on disk survive a kill, and the terminal tells what matters."""

import io
import json
import sys
import time

import jax.numpy as jnp
import pytest
import rich.console

from byol_jax import monitor
from byol_jax.monitor import heartbeat


def _lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_each_step_is_a_json_line_at_once(tmp_path):
    with monitor.Writer(tmp_path) as writer:
        writer.write(5, {"loss": 0.5})
        assert _lines(tmp_path) == [{"step": 5, "loss": 0.5}]


def test_a_loss_that_is_not_finite_is_null(tmp_path):
    with monitor.Writer(tmp_path) as writer:
        writer.write(1, {"loss": float("nan")})
    assert _lines(tmp_path) == [{"step": 1, "loss": None}]


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path):
    with monitor.Writer(tmp_path) as writer:
        for step in (1, 2, 3):
            writer.write(step, {"loss": 0.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # killed while writing
    with monitor.Writer(tmp_path, start_step=2) as writer:
        writer.write(3, {"loss": 1.0})
    assert [(line["step"], line["loss"]) for line in _lines(tmp_path)] == [(1, 0), (2, 0), (3, 1)]


def test_tensorboard_gets_the_same_numbers(tmp_path):
    with monitor.Writer(tmp_path, tensorboard=True) as writer:
        writer.write(1, {"loss": 0.5})
    (events,) = tmp_path.glob("events.*")
    assert b"loss" in events.read_bytes()


def test_a_missing_tensorboard_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 'byol_jax\[tensorboard\]'"):
        monitor.Writer(tmp_path, tensorboard=True)


def test_off_a_terminal_progress_is_a_line_with_what_matters():
    text = io.StringIO()
    console = rich.console.Console(file=text, width=120)
    metrics = {"images_per_second": 1234.0, "loss": 0.5, "spread": 0.9, "seconds_left": 90.0}
    with monitor.Progress(10, console=console) as progress:
        progress.show(4, metrics)
    assert text.getvalue().strip() == (
        "step 4/10  1,234 images/s  loss 0.500  spread 0.900  1.5 min left"
    )


def test_on_a_terminal_progress_is_a_bar():
    text = io.StringIO()
    console = rich.console.Console(file=text, width=120, force_terminal=True)
    metrics = {"images_per_second": 1234.0, "loss": 0.5, "spread": 0.9, "seconds_left": 90.0}
    with monitor.Progress(10, console=console) as progress:
        progress.show(4, metrics)
    assert "4/10" in text.getvalue() and "1,234 images/s" in text.getvalue()


def test_a_counter_tells_the_end_where_there_is_no_terminal():
    text = io.StringIO()
    with monitor.Counter(console=rich.console.Console(file=text, width=20)) as counter:
        for done in range(1, 2001):
            counter.show("reading pictures", done, 2000)
        counter.print_line("[all] done")
    # rich below 14.3 ends with an empty line.
    assert text.getvalue().rstrip() == "reading pictures: 2,000 of 2,000\n[all] done"


def test_on_a_terminal_a_counter_is_a_bar():
    text = io.StringIO()
    console = rich.console.Console(file=text, width=120, force_terminal=True)
    with monitor.Counter(console=console) as counter:
        counter.show("reading pictures", 7, 20)
    assert "7/20" in text.getvalue() and "reading pictures" in text.getvalue()


def test_a_collapse_warns_once():
    warning = monitor.alerts.Collapse()
    spreads = [0.09, 0.095, 0.05, 0.04, 0.03]  # before training a small spread rises
    warnings = [warning(step, {"spread": spread}) for step, spread in enumerate(spreads)]
    assert [text is None for text in warnings] == [True, True, False, True, True]
    assert warnings[2] == (
        "the projection spread is 0.05 at step 2, out of 1.0: the representation is collapsing. "
        "See docs/guides/curves.md."
    )


def test_devices_that_wait_for_images_warn_once():
    warning = monitor.alerts.Starving()
    waits = [0.9, 0.05, 0.2, 0.25, 0.3]  # the first line holds the start-up
    warnings = [warning(step, {"data_wait": wait}) for step, wait in enumerate(waits)]
    assert warnings[:3] == [None] * 3 and warnings[4] is None
    assert "at step 3, the devices spend 25% of the time waiting for images" in warnings[3]


def _log(folder, **options):
    sizes = {"batch_size": 8, "total_steps": 4, "steps_per_epoch": 2}
    return monitor.Log(
        folder, schedules={"learning_rate": lambda step: 0.5 * step}, **sizes, **options
    )


def test_a_step_is_logged_while_the_next_one_runs(tmp_path):
    values = {"loss": 1.0, "spread": 0.5}
    with _log(tmp_path) as log:
        log(2, values, waited=0.0)
        assert _lines(tmp_path) == []
        log(4, values, waited=0.0)
        assert [line["step"] for line in _lines(tmp_path)] == [2]
    first, second = _lines(tmp_path)
    assert (first["epoch"], first["learning_rate"]) == (1.0, 0.5)
    assert second["epoch"] == 2.0 and second["data_wait"] == 0.0


def test_waiting_counts_from_line_to_line(tmp_path, monkeypatch):
    clock = iter([0.0, 10.0, 30.0])
    monkeypatch.setattr(monitor.metrics_log.time, "monotonic", lambda: next(clock))
    with _log(tmp_path) as log:
        log(1, {"loss": 1.0, "spread": 0.5}, waited=2.0)
        log(2, {"loss": 1.0, "spread": 0.5}, waited=7.0)
    assert [line["data_wait"] for line in _lines(tmp_path)] == [0.2, 0.25]
    assert [line["images_per_second"] for line in _lines(tmp_path)] == [0.8, 0.4]


def test_a_loss_that_is_not_finite_is_written_as_null(tmp_path):
    with _log(tmp_path) as log:
        log(1, {"loss": float("nan"), "spread": 0.5}, waited=0.0)
    assert _lines(tmp_path)[0]["loss"] is None


def test_metrics_that_cannot_be_written_do_not_stop_the_run(tmp_path, capsys):
    def full(step, values):
        raise OSError(28, "No space left on device")

    with _log(tmp_path) as log:
        log._output.writer.write = full
        log(1, {"loss": 1.0, "spread": 0.5}, waited=0.0)
    assert (
        "the metrics of step 1 were not written to disk: No space left on device."
        in capsys.readouterr().out
    )


def test_a_long_silence_is_broken_now_and_then(monkeypatch):
    monkeypatch.setattr(heartbeat, "SECONDS", 0.1)
    lines = []
    with heartbeat.Heartbeat(lines.append, step=3) as beat:
        time.sleep(0.25)
        beat.step = 4
        time.sleep(0.15)
    assert lines[0] == "still at step 3" and "at step 4" in lines
    lines.clear()
    with heartbeat.Heartbeat(lines.append, step=0) as beat:
        for _ in range(10):
            beat.reset()
            time.sleep(0.03)
    assert lines == []


def test_a_silent_log_writes_nothing(tmp_path):
    with _log(tmp_path, silent=True) as log:
        log(1, {"loss": 1.0, "spread": 0.5}, waited=0.0)
    assert not list(tmp_path.iterdir())


def test_a_warning_goes_above_the_bar():
    text = io.StringIO()
    with monitor.Progress(10, console=rich.console.Console(file=text, width=20)) as progress:
        progress.warn("projection spread 0.02 [of 1.0] at step 3")
    # rich below 14.3 ends with an empty line.
    assert text.getvalue().rstrip() == "warning: projection spread 0.02 [of 1.0] at step 3"


def test_the_summary_shows_facts_and_warnings():
    text = io.StringIO()
    console = rich.console.Console(file=text, width=120)
    monitor.show({"workdir": "runs/[bold]"}, ["mind [red]"], console=console)
    assert "runs/[bold]" in text.getvalue() and "warning: mind [red]" in text.getvalue()


def test_leaves_are_counted_by_the_mask():
    params = {"dense": {"kernel": jnp.zeros((2, 3)), "bias": jnp.zeros(3)}}
    mask = {"dense": {"kernel": True, "bias": False}}
    text = monitor.leaves_text(params, mask)
    assert text == "1 array with 6 parameters; excluded: 1 array with 3 parameters (bias)"
