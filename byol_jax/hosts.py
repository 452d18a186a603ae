"""Several processes as one run: they meet, agree, are told to stop together, and miss the dead.

JAX's own service connects them. Before it, everybody reports to process 0: who does not come, or
came with another config or other code, is named, where that service would only end the process.
"""

import concurrent.futures
import faulthandler
import json
import os
import re
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import jax
from jax._src import clusters, distributed
from jax.experimental import multihost_utils

PREEMPTED = 75  # exit code of a run that was told to stop, and saved: the same command goes on
LOST = 76  # exit code where another process died
_HEARTBEAT = 100  # seconds without a sign of life, at most, until a process counts as dead
_MOST = 2**24  # bytes of a report
_SHOWN = 5  # differences that an error names
_STATUS = re.compile("(UNKNOWN|UNAVAILABLE|INTERNAL|ABORTED|CANCELLED|DEADLINE_EXCEEDED): ")
_FULL = "takes no more: two may have the same --process_id, or another program the port"


class Place(NamedTuple):
    """Where process 0 listens, host:port, how many processes there are, and which this one is."""

    coordinator: str
    num_processes: int
    process_id: int


def find(coordinator: str | None, num_processes: int | None, process_id: int | None) -> Place:
    """The place given, or, where nothing is, the one that the launcher's environment tells.

    That is SLURM's, a TPU's, GKE's or Open MPI's, as JAX knows them. Raises ValueError where only a
    part is given, or nothing tells of a place.
    """
    given = (coordinator, num_processes, process_id)
    if None not in given:
        return Place(*given)
    if given != (None, None, None):
        raise ValueError("give --coordinator, --num_processes and --process_id, or none of them.")
    unset = (None, None, None, None, None)
    address, count, number, _ = clusters.ClusterEnv.auto_detect_unset_distributed_params(*unset, 60)
    if None in (address, count, number):
        raise ValueError(
            "--distributed finds no cluster that JAX knows (SLURM, TPU, GKE, Open MPI); give "
            "--coordinator=HOST:PORT, --num_processes and --process_id."
        )
    return Place(address, count, number)


def connect(place: Place, facts: Mapping[str, Any], *, timeout: int) -> None:
    """Makes the processes one, once all have come with the same facts.

    facts: name -> value, what has to be the same everywhere. timeout: seconds to wait for all.

    Raises TimeoutError naming who did not come, ValueError naming what differs or who came twice,
    OSError where process 0 cannot listen.
    """
    if not 0 <= place.process_id < place.num_processes:
        raise ValueError(
            f"process_id ({place.process_id}) must be in [0, {place.num_processes}), the number of "
            "processes."
        )
    _roll_call(place, {**facts, "num_processes": place.num_processes}, timeout)
    faulthandler.disable()  # where JAX ends a process, it would read stacks that still change
    jax.distributed.initialize(
        *place,
        cluster_detection_method="deactivate",
        initialization_timeout=timeout,
        heartbeat_timeout_seconds=min(_HEARTBEAT, timeout),
    )


def _roll_call(place, facts, timeout):
    host, port = _address(place.coordinator)
    report = {"process": place.process_id, "host": socket.gethostname(), "facts": dict(facts)}
    deadline = time.monotonic() + timeout
    if place.process_id == 0:
        verdict = _take(port, report, place.num_processes, deadline)
    else:
        verdict = _give((host, port), report, deadline)
    if verdict["twice"]:
        raise ValueError(f"{verdict['twice']}; give each its own --process_id.")
    if verdict["missing"]:
        raise TimeoutError(f"after {timeout} s {verdict['missing']}; see its log, and start again.")
    if verdict["different"]:
        raise ValueError(f"{verdict['different']}; start all processes with the same.")


def _address(coordinator) -> tuple[str, int]:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(
            f"--coordinator={coordinator} is not a host and a port, such as 10.0.0.1:9730."
        )
    return host.strip("[]"), int(port)


def _take(port, own, count, deadline) -> dict[str, str]:
    """What process 0 does: hears the others, and tells each the verdict."""
    reports, lines, twice = {0: own}, {}, ""
    with _listen(port, count) as server:
        while len(reports) < count and not twice and (left := deadline - time.monotonic()) > 0:
            heard = _hear(server, left)
            for number in [n for n, line in lines.items() if _has_gone(line)]:
                lines.pop(number).close()
                del reports[number]
            if heard is None:
                continue
            number, report, line = heard
            if number in lines:
                names = f"{reports[number]['host']} and {report['host']}"
                twice = f"process {number} has come twice, from {names}"
                _tell(lines[number], _verdict(twice=twice))
            reports[number], lines[number] = report, line
    verdict = _verdict(_missing(reports, count), _different(reports), twice)
    for line in lines.values():
        _tell(line, verdict)
    return verdict


def _verdict(missing: str = "", different: str = "", twice: str = "") -> dict[str, str]:
    return {"missing": missing, "different": different, "twice": twice}


def _hear(server, left):
    """(number, report, line) of the next; None where the time is up, or it is none of us."""
    server.settimeout(left)
    try:
        line, _ = server.accept()
    except OSError:
        return None
    line.settimeout(10)
    try:
        report = _read(line)
        return int(report["process"]), {name: report[name] for name in ("host", "facts")}, line
    except (OSError, ValueError, KeyError, TypeError):
        line.close()
        return None


def _listen(port, count):
    try:
        return socket.create_server(("", port), backlog=count)
    except OSError as error:
        raise OSError(
            f"process 0 cannot listen on port {port} ({os.strerror(error.errno)}); choose "
            "another in --coordinator, on all processes."
        ) from error


def _has_gone(line) -> bool:
    """Whether who waited at the other end no longer does: it was killed."""
    poll = select.poll()
    poll.register(line, select.POLLIN)
    return bool(poll.poll(0))  # it had no more to say


def _tell(line, verdict):
    try:
        line.sendall(json.dumps(verdict).encode() + b"\n")
        line.recv(1)  # until the other end is closed, so that the port is free at once
    except OSError:
        pass
    finally:
        line.close()


def _give(address, report, deadline) -> dict[str, str]:
    """What the others do: they report to process 0, when it is there."""
    place, why = ":".join(map(str, address)), "does not answer"
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection(address, timeout=left) as line:
                why = _FULL
                line.sendall(json.dumps(report).encode() + b"\n")
                line.settimeout(max(deadline - time.monotonic(), 0) + 10)
                return _read(line)
        except (OSError, ValueError):
            time.sleep(0.2)
    return _verdict(missing=f"process 0 ({place}) {why}")


def _read(line) -> dict:
    with line.makefile("rb") as file:
        return json.loads(file.readline(_MOST))


def _missing(reports, count) -> str:
    missing = [str(number) for number in range(count) if number not in reports]
    if not missing:
        return ""
    came = ", ".join(f"{number} ({reports[number]['host']})" for number in sorted(reports))
    return f"process {', '.join(missing)} of {count} has not come, only {came}"


def _different(reports) -> str:
    """The first facts in which somebody differs from process 0."""
    first, found = reports[0]["facts"], []
    for number in sorted(reports):
        other = reports[number]["facts"]
        found += [
            f"{name} is {other.get(name, 'absent')!r} in process {number} "
            f"({reports[number]['host']}) and {first.get(name, 'absent')!r} in process 0"
            for name in sorted(first.keys() | other.keys())
            if first.get(name) != other.get(name)
        ]
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


def wait_for_all(name: str) -> None:
    """Until every process is here, so that none leaves while another still has work; a day at most."""
    if jax.process_count() > 1:
        distributed.global_state.client.wait_at_barrier(name, 24 * 3600 * 1000)


class Notice:
    """Whether the run has been told to stop: by SIGTERM, in any process, or by what JAX hears of.

    A context manager: before and after it SIGTERM does what it did.
    """

    def __init__(self):
        self._told, self._before, self._asked = False, None, 0

    def __enter__(self) -> Self:
        if jax.process_count() == 1:
            self._before = signal.signal(signal.SIGTERM, self._hear)
        return self

    def __exit__(self, *exception) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _hear(self, number, frame):
        self._told = True

    def reached(self) -> bool:
        """Whether to stop after this step; all processes ask at every step, and stop at the same."""
        self._asked += 1  # JAX wants a count from 1: told before it, it stops at 1, and never later
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(self._asked)
        return self._told


def explain(error: Exception) -> None:
    """Ends this process where it is one of several, which would wait for each other.

    By LOST where the error comes of another that has died, which it names. JAX's own heartbeat may
    end it first; it names the dead too.
    """
    count = jax.process_count()
    if count == 1:
        return
    traceback.print_exception(error)
    dead = _dead(count) if _comes_of_jax(error) else []
    if dead:
        told = (
            f"process {', '.join(map(str, dead))} of {count} has died; see its log. The same "
            "command, on all hosts, goes on from the newest checkpoint."
        )
    else:
        told = str(error) or type(error).__name__
    print(f"byol_jax: {told}", file=sys.stderr, flush=True)
    os._exit(LOST if dead else 1)  # what would end orderly waits for the others


def _comes_of_jax(error) -> bool:
    """Whether it may come of others; of anything else they do not know, and wait for this one."""
    while error is not None:
        if isinstance(error, jax.errors.JaxRuntimeError) or _STATUS.match(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _dead(count) -> list[int]:
    """Who has died, asked of the service, which waits for those alive to ask too, or to die."""
    print("a step failed; asking who is alive", file=sys.stderr, flush=True)
    client, thread = distributed.global_state.client, concurrent.futures.ThreadPoolExecutor(1)
    asked = thread.submit(client.get_live_nodes, list(range(count)))
    try:
        alive = asked.result(timeout=_HEARTBEAT + 20)
    except TimeoutError:  # all live, and no other has failed
        return []
    except RuntimeError:  # the service itself is gone
        alive = range(1, count)
    return [number for number in range(count) if number not in alive]
