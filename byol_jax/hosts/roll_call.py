"""The roll call before JAX connects the processes: all report to process 0, which tells the verdict."""

import json
import os
import select
import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from byol_jax import errors

_MOST = 2**24  # bytes of a report
_SHOWN = 5  # differences that an error names
_FULL = "takes no more: two may have the same --process_id, or another program the port"


class Place(NamedTuple):
    """Where process 0 listens, host:port, how many processes there are, and which this one is."""

    coordinator: str
    num_processes: int
    process_id: int


def meet(place: Place, facts: Mapping[str, Any], timeout: float) -> None:
    """Returns once all processes have come with the same facts.

    Raises TimeoutError naming who did not come within `timeout` seconds, ValueError naming what
    differs or who came twice, OSError where process 0 cannot listen.
    """
    host, port = _address(place.coordinator)
    report = {"process": place.process_id, "host": socket.gethostname(), "facts": dict(facts)}
    deadline = time.monotonic() + timeout
    if place.process_id == 0:
        verdict = _take(port, report, place.num_processes, deadline)
    else:
        verdict = _give((host, port), report, deadline)
    if verdict["twice"]:
        raise errors.UserError(f"{verdict['twice']}; give each its own --process_id.")
    if verdict["missing"]:
        raise TimeoutError(f"after {timeout} s {verdict['missing']}; see its log, and start again.")
    if verdict["different"]:
        raise errors.UserError(f"{verdict['different']}; start all processes with the same.")


def _address(coordinator) -> tuple[str, int]:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise errors.UserError(
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
