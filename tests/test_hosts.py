"""Several processes as one run: who is missing, differs, came twice or died is named, exactly."""

import concurrent.futures
import json
import os
import socket
import threading
import time

import jax
import pytest

from byol_jax import errors, hosts
from byol_jax.system import version
from byol_jax.training import train
from support import processes, tiny

HOST = socket.gethostname()
_TOLD = json.dumps({"process": 1, "host": "elsewhere", "facts": {}}).encode() + b"\n"


def _meet(port, facts, *, ids=None, count=None, timeout=10):
    """Roll calls of some processes, in threads; what each raises, None where nothing."""
    ids = range(len(facts)) if ids is None else ids
    place = hosts.Place(f"127.0.0.1:{port}", count or len(facts), 0)

    def call(number, own):
        hosts.roll_call.meet(place._replace(process_id=number), own, timeout)

    with concurrent.futures.ThreadPoolExecutor(len(facts)) as pool:
        calls = [pool.submit(call, *one) for one in zip(ids, facts, strict=True)]
        return [one.exception() for one in calls]


def _is(error, kind, words):
    assert (type(error), str(error)) == (kind, words)


def test_processes_with_the_same_facts_meet_and_leave_the_port_free():
    port = processes.free_port()
    assert _meet(port, [{"seed": 0}] * 4) == [None] * 4
    socket.create_server(("", port)).close()


def test_all_are_told_what_differs_and_where():
    refusals = _meet(processes.free_port(), [{"seed": 0}, {"seed": 0}, {"seed": 1, "more": "x"}])
    words = (
        f"the processes differ: more is 'x' in process 2 ({HOST}) and 'absent' in process 0; seed "
        f"is 1 in process 2 ({HOST}) and 0 in process 0. Start all of them with the same values."
    )
    for error in refusals:
        _is(error, errors.UserError, words)


def test_of_many_differences_five_are_told():
    facts = [{str(n): value for n in range(7)} for value in (0, 1)]
    error, _ = _meet(processes.free_port(), facts)
    assert str(error).count(" in process 1 ") == 5 and "; and 2 more. Start all" in str(error)


def test_who_does_not_come_is_named_to_all_who_did():
    refusals = _meet(processes.free_port(), [{}, {}], ids=(0, 2), count=4, timeout=1)
    for error in refusals:
        _is(
            error,
            TimeoutError,
            f"timed out after 1 s: processes 1, 3 of 4 did not connect; connected: 0 ({HOST}), 2 "
            f"({HOST}). See the logs of all processes, then start them again.",
        )


def test_a_process_0_that_does_not_come_is_named():
    port = processes.free_port()
    (error,) = _meet(port, [{}], ids=(1,), count=2, timeout=1)
    words = (
        f"timed out after 1 s: process 0 (127.0.0.1:{port}) does not answer. See the logs of all "
        "processes, then start them again."
    )
    _is(error, TimeoutError, words)


def test_a_port_that_another_program_has_is_named():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        (error,) = _meet(port, [{}], count=2, timeout=1)
    words = (
        f"process 0 cannot listen on port {port} (Address already in use); choose another "
        "port in --coordinator for all processes."
    )
    _is(error, OSError, words)


def test_two_with_the_same_process_id_are_named_to_all():
    refusals = _meet(processes.free_port(), [{}] * 3, ids=(0, 1, 1))
    words = (
        f"process 1 connected twice, from {HOST} and {HOST}; give each process its own "
        "--process_id."
    )
    for error in refusals:
        _is(error, errors.UserError, words)


def test_who_comes_after_the_last_is_told_of_the_process_id():
    """After process 0 has left, JAX's service has the port; here it is another server."""
    with socket.create_server(("127.0.0.1", 0)) as service:

        def hang_up():
            while True:
                try:
                    service.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        port = service.getsockname()[1]
        (error,) = _meet(port, [{}], ids=(1,), count=2, timeout=1)
        service.shutdown(socket.SHUT_RDWR)
    _is(
        error,
        TimeoutError,
        f"timed out after 1 s: process 0 (127.0.0.1:{port}) accepts no more processes: two may "
        "have the same --process_id, or another program may use the port. See the logs of all "
        "processes, then start them again.",
    )


def _connected(port):
    deadline = time.monotonic() + 5
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_one_that_was_killed_while_waiting_may_come_again():
    port = processes.free_port()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(_meet, port, [{}], count=3)
        with _connected(port) as line:
            line.sendall(_TOLD)
            time.sleep(0.2)
        assert _meet(port, [{}, {}], ids=(1, 2), count=3) == [None, None]
        assert first.result() == [None]


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\n", b"[1]\n", b'{"process": 1}\n', b"\xff\n", b""]
)
def test_strangers_at_the_port_change_nothing(sent):
    port = processes.free_port()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(_meet, port, [{}], count=2)
        with _connected(port) as line:
            line.sendall(sent)
        assert _meet(port, [{}], ids=(1,), count=2) == [None]
        assert first.result() == [None]


@pytest.mark.parametrize("process", [0, 1])
@pytest.mark.parametrize(
    "wrong", ["here", "here:x", ":9730", "here:0", "here:65536", "here:-1", ""]
)
def test_a_coordinator_that_is_no_host_and_port_is_refused(wrong, process):
    with pytest.raises(ValueError) as found:
        hosts.connect(hosts.Place(wrong, 2, process), {}, timeout=1)
    words = f"--coordinator must be HOST:PORT, such as 10.0.0.1:9730, not {wrong!r}."
    assert str(found.value) == words


def test_a_process_too_many_is_refused():
    with pytest.raises(ValueError) as found:
        hosts.connect(hosts.Place("127.0.0.1:1", 2, 2), {}, timeout=1)
    words = "--process_id must be at least 0 and less than --num_processes (2), not 2."
    assert str(found.value) == words


@pytest.mark.parametrize("part", [("a:1", None, None), ("a:1", 2, None), (None, 2, 1)])
def test_a_part_of_the_flags_is_refused(part):
    with pytest.raises(ValueError) as found:
        hosts.find(*part)
    words = (
        "the flags of a run with several processes are incomplete; give --coordinator, "
        "--num_processes and --process_id, or none of them."
    )
    assert str(found.value) == words
    assert hosts.find("a:1", 2, 0) == ("a:1", 2, 0)


def test_where_no_launcher_tells_of_a_cluster_the_flags_are_asked_for(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "OMPI_", "PMI", "TPU_", "MEGASCALE_", "KUBERNETES_")):
            monkeypatch.delenv(name)
    with pytest.raises(ValueError) as found:
        hosts.find(None, None, None)
    assert str(found.value) == (
        "--distributed found no cluster that JAX supports (SLURM, TPU, GKE or Open MPI); give "
        "--coordinator=HOST:PORT, --num_processes and --process_id instead."
    )


def test_slurm_tells_of_the_place(monkeypatch):
    environment = {"SLURM_JOB_ID": "70001", "SLURM_STEP_NODELIST": "node[3-5]", "SLURM_NTASKS": "3"}
    environment |= {"SLURM_PROCID": "2", "SLURM_LOCALID": "0", "SLURM_STEP_NUM_TASKS": "3"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    address, *numbers = hosts.find(None, None, None)
    assert address.startswith("node3:") and numbers == [3, 2]


def _command(port, configs):
    """What `train` raises in threads that are its processes; none comes to JAX."""

    def call(number, config):
        cluster = train.Cluster(f"127.0.0.1:{port}", len(configs), number, timeout=10)
        train.train(config, "/nonexistent", cluster=cluster)

    with concurrent.futures.ThreadPoolExecutor(len(configs), "process") as pool:
        return [c.exception() for c in [pool.submit(call, *one) for one in enumerate(configs)]]


def test_two_configs_are_refused_by_the_field_and_both_values():
    configs = [tiny.get_config(), tiny.get_config()]
    configs[1].schedule.learning_rate = 0.5
    words = (
        f"the processes differ: config.schedule.learning_rate is 0.5 in process 1 ({HOST}) and "
        "0.03 in process 0. Start all of them with the same values."
    )
    for error in _command(processes.free_port(), configs):
        _is(error, errors.UserError, words)


def test_two_commits_are_refused(monkeypatch):
    commits = iter(("aaaa", "bbbb+"))
    monkeypatch.setattr(version, "commit", lambda: next(commits))
    one, other = _command(processes.free_port(), [tiny.get_config(), tiny.get_config()])
    assert type(one) is type(other) is errors.UserError and str(one) == str(other)
    messages = [
        f"the processes differ: the code's commit is '{a}' in process 1 ({HOST}) and '{b}' in "
        "process 0. Start all of them with the same values."
        for a, b in (("aaaa", "bbbb+"), ("bbbb+", "aaaa"))
    ]
    assert str(one) in messages


def test_only_errors_that_may_come_of_others_are_asked_about():
    """Other errors are reported at once, because the other processes would not answer."""
    lost = jax.errors.JaxRuntimeError("UNKNOWN: Gloo AllGather failed: Connection closed by peer")
    unsaved = OSError("cannot save a checkpoint")
    unsaved.__cause__ = lost
    for error in (lost, unsaved, ValueError(str(lost))):  # JAX raises both kinds
        assert hosts._may_come_from_others(error)
    for error in (OSError("cannot read"), ValueError("batch_size (3)"), FloatingPointError()):
        assert not hosts._may_come_from_others(error)


def test_jax_is_asked_by_a_count_from_1_in_a_resumed_run_too(monkeypatch):
    """JAX expects the counter to begin at 1 after a notice; it would miss any other number."""
    asked = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    point = "reached_preemption_sync_point"
    monkeypatch.setattr(hosts.multihost_utils, point, lambda n: asked.append(n) or n == 2)
    with hosts.Notice() as notice:
        assert [notice.reached() for _ in range(3)] == [False, True, False]
    assert asked == [1, 2, 3]
