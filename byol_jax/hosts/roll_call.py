"""Checks that all processes of a run are present and agree, before JAX connects them.

Every process sends a report to process 0 and waits. Process 0 compares the reports and sends the
same verdict to all, so that each process can name what is wrong.
"""

import json
import os
import select
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from byol_jax import errors

_MAX_BYTES = 2**24  # of a report
_MAX_SHOWN = 5  # differences that an error names
_REFUSES = (
    "accepts no more processes: two may have the same --process_id, or another program may use "
    "the port"
)


class Place(NamedTuple):
    """The address of process 0, the number of processes in a run, and the ID of this process.

    Attributes:
        coordinator: Address HOST:PORT at which process 0 listens.
        num_processes: Number of processes in the run.
        process_id: Number of this process, from 0.
    """

    coordinator: str
    num_processes: int
    process_id: int


class _Report(NamedTuple):
    """The message that a process sends to process 0."""

    process: int
    host: str
    facts: dict[str, Any]


def meet(place: Place, facts: Mapping[str, Any], timeout: float) -> None:
    """Waits until every process has reported its settings to process 0, and all of them agree.

    Args:
        place: The address of process 0, the number of processes, and the number of this process.
        facts: Values by name that must be the same in all processes.
        timeout: Seconds to wait for the other processes.

    Raises:
        UserError: If the coordinator is not HOST:PORT, if two processes have the same process_id,
            or if the facts differ; the message names them.
        TimeoutError: If processes are missing; the message names them.
        OSError: If process 0 cannot listen on its port.
    """
    host, port = _parse_address(place.coordinator)
    report = _Report(place.process_id, socket.gethostname(), dict(facts))
    deadline = time.monotonic() + timeout
    if place.process_id == 0:
        verdict = _collect_reports(port, report, place.num_processes, deadline)
    else:
        verdict = _send_report((host, port), report, deadline)
    twice = verdict["twice"]
    missing = verdict["missing"]
    different = verdict["different"]
    if twice:
        raise errors.UserError(f"{twice}; give each process its own --process_id.")
    if missing:
        raise TimeoutError(
            f"timed out after {timeout} s: {missing}. See the logs of all processes, then start "
            "them again."
        )
    if different:
        raise errors.UserError(
            f"the processes differ: {different}. Start all of them with the same values."
        )


def processes_text(numbers: Sequence[int]) -> str:
    """Formats a list of process IDs as text, such as "process 1" or "processes 1, 3".

    Args:
        numbers: At least one number.

    Returns:
        The text.
    """
    noun = "process" if len(numbers) == 1 else "processes"
    return f"{noun} {', '.join(map(str, numbers))}"


def _parse_address(coordinator) -> tuple[str, int]:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise errors.UserError(
            f"--coordinator must be HOST:PORT, such as 10.0.0.1:9730, not {coordinator!r}."
        )
    return host.strip("[]"), int(port)


def _collect_reports(port, own_report, count, deadline) -> dict[str, str]:
    """In process 0: receives every other process's report, and tells each whether to start."""
    reports = {0: own_report}
    connections = {}
    twice = ""
    with _listen(port, count) as server:
        while len(reports) < count and not twice and (left := deadline - time.monotonic()) > 0:
            received = _receive_report(server, left)
            # A process that was killed while it waited may be started again with the same number.
            for number in [n for n, other in connections.items() if _is_closed(other)]:
                connections.pop(number).close()
                del reports[number]
            if received is None:
                continue
            report, connection = received
            number = report.process
            if number in connections:
                first_host = reports[number].host
                twice = f"process {number} connected twice, from {first_host} and {report.host}"
                _send_verdict(connections[number], _verdict(twice=twice))
            reports[number] = report
            connections[number] = connection
    verdict = _verdict(_missing_text(reports, count), _differences_text(reports), twice)
    for connection in connections.values():
        _send_verdict(connection, verdict)
    return verdict


def _verdict(missing: str = "", different: str = "", twice: str = "") -> dict[str, str]:
    return {"missing": missing, "different": different, "twice": twice}


def _receive_report(server, seconds):
    """Returns the next report and its connection, or None if no valid report arrives in time."""
    server.settimeout(seconds)
    try:
        connection, _ = server.accept()
    except OSError:
        return None
    connection.settimeout(10)
    try:
        message = _read_message(connection)
        return _Report(int(message["process"]), message["host"], message["facts"]), connection
    except (OSError, ValueError, KeyError, TypeError):
        connection.close()
        return None


def _listen(port, count):
    try:
        return socket.create_server(("", port), backlog=count)
    except OSError as error:
        reason = str(error) if error.errno is None else os.strerror(error.errno)
        raise OSError(
            f"process 0 cannot listen on port {port} ({reason}); choose another port in "
            "--coordinator for all processes."
        ) from error


def _is_closed(connection) -> bool:
    """Returns True if the process at the other end has closed the connection, or was killed."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))  # it sends nothing after its report, so any event is the end


def _send_verdict(connection, verdict):
    try:
        connection.sendall(json.dumps(verdict).encode() + b"\n")
        connection.recv(1)  # waits until the other end closes, so that the port is free at once
    except OSError:
        pass
    finally:
        connection.close()


def _send_report(address, report, deadline) -> dict[str, str]:
    """Waits until process 0 listens, sends it a report, and returns its answer."""
    problem = "does not answer"
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection(address, timeout=left) as connection:
                problem = _REFUSES
                connection.sendall(json.dumps(report._asdict()).encode() + b"\n")
                connection.settimeout(max(deadline - time.monotonic(), 0) + 10)
                return _read_message(connection)
        except (OSError, ValueError):
            time.sleep(0.2)
    host, port = address
    return _verdict(missing=f"process 0 ({host}:{port}) {problem}")


def _read_message(connection) -> dict:
    with connection.makefile("rb") as file:
        return json.loads(file.readline(_MAX_BYTES))


def _missing_text(reports, count) -> str:
    """Formats an error message that names the missing processes; returns "" if none is missing."""
    missing = [number for number in range(count) if number not in reports]
    if not missing:
        return ""
    connected = ", ".join(f"{number} ({reports[number].host})" for number in sorted(reports))
    return f"{processes_text(missing)} of {count} did not connect; connected: {connected}"


def _differences_text(reports) -> str:
    """Describes the first differences between a process's report and that of process 0."""
    expected = reports[0].facts
    differences = []
    for number in sorted(reports):
        report = reports[number]
        differences += [
            f"{name} is {report.facts.get(name, 'absent')!r} in process {number} "
            f"({report.host}) and {expected.get(name, 'absent')!r} in process 0"
            for name in sorted(expected.keys() | report.facts.keys())
            if expected.get(name) != report.facts.get(name)
        ]
    text = "; ".join(differences[:_MAX_SHOWN])
    num_hidden = len(differences) - _MAX_SHOWN
    return f"{text}; and {num_hidden} more" if num_hidden > 0 else text
