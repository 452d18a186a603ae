"""Several processes that form one run: connecting and stopping them, and detecting dead ones.

JAX's own service connects the processes. Before that, a roll call checks that all of them are
present and agree on config and code, because JAX's service would end them without naming the cause.
"""

import concurrent.futures
import faulthandler
import os
import re
import signal
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Self

import jax
from jax._src import clusters, distributed
from jax.experimental import multihost_utils

from byol_jax import errors
from byol_jax.hosts import roll_call
from byol_jax.hosts.roll_call import Place

PREEMPTED = 75  # exit code after a requested stop: the state is saved, the same command resumes
LOST = 76  # exit code after another process died
_HEARTBEAT = 100  # seconds without a heartbeat, at most, before a process counts as dead
_STATUS = re.compile("(UNKNOWN|UNAVAILABLE|INTERNAL|ABORTED|CANCELLED|DEADLINE_EXCEEDED): ")


def find(coordinator: str | None, num_processes: int | None, process_id: int | None) -> Place:
    """Finds out which process of a run this is, from flags or from the launcher's environment.

    JAX reads the environment, which SLURM, TPU, GKE or Open MPI set up.

    Args:
        coordinator: Address HOST:PORT at which process 0 listens. None for all three arguments
            reads the environment.
        num_processes: Number of processes in the run.
        process_id: Number of this process, from 0.

    Returns:
        The address of process 0, the number of processes, and the number of this process.

    Raises:
        UserError: If only some arguments are None, or if the environment describes no cluster.
    """
    flags = (coordinator, num_processes, process_id)
    if coordinator is not None and num_processes is not None and process_id is not None:
        return Place(coordinator, num_processes, process_id)
    if flags != (None, None, None):
        raise errors.UserError(
            "the flags of a run with several processes are incomplete; give --coordinator, "
            "--num_processes and --process_id, or none of them."
        )
    unset = (None, None, None, None, None)
    address, count, number, _ = clusters.ClusterEnv.auto_detect_unset_distributed_params(*unset, 60)
    if address is None or count is None or number is None:
        raise errors.UserError(
            "--distributed found no cluster that JAX supports (SLURM, TPU, GKE or Open MPI); give "
            "--coordinator=HOST:PORT, --num_processes and --process_id instead."
        )
    return Place(address, count, number)


def connect(place: Place, facts: Mapping[str, Any], *, timeout: int) -> None:
    """Connects the processes of a run through JAX, after a check that their settings agree.

    Args:
        place: The address of process 0, the number of processes, and the number of this process.
        facts: Values by name that must be the same in all processes, such as the config's fields.
        timeout: Seconds to wait for the other processes.

    Raises:
        UserError: If process_id is out of range, if the coordinator is not HOST:PORT, if two
            processes have the same process_id, or if the facts differ; the message names them.
        TimeoutError: If processes are missing; the message names them.
        OSError: If process 0 cannot listen on its port.
    """
    if not 0 <= place.process_id < place.num_processes:
        raise errors.UserError(
            f"--process_id must be at least 0 and less than --num_processes "
            f"({place.num_processes}), not {place.process_id}."
        )
    roll_call.meet(place, {**facts, "num_processes": place.num_processes}, timeout)
    # When JAX ends a process, the fault handler would read stacks that other threads still change.
    faulthandler.disable()
    jax.distributed.initialize(
        *place,
        cluster_detection_method="deactivate",
        initialization_timeout=timeout,
        heartbeat_timeout_seconds=min(_HEARTBEAT, timeout),
    )


def wait_for_all(name: str) -> None:
    """Waits, for at most one day, until all processes of a run have reached this call.

    Thus no process ends while another one still works. Returns at once if the run has a single
    process.

    Args:
        name: Name of the barrier, the same in all processes.
    """
    if jax.process_count() > 1:
        _client().wait_at_barrier(name, 24 * 3600 * 1000)


def _client():
    """Returns this process's client of JAX's distributed coordination service."""
    client = distributed.global_state.client
    if client is None:
        raise RuntimeError("jax.distributed is not initialized in this process.")
    return client


class Notice:
    """A context manager that detects SIGTERM, the signal that asks a training run to stop.

    In a run with several processes, JAX catches the signal in any of them and picks the step after
    which all stop. In a single process, the context catches SIGTERM and restores the previous
    handler when it ends.
    """

    def __init__(self):
        self._is_requested = False
        self._previous_handler = None
        self._num_calls = 0

    def __enter__(self) -> Self:
        if jax.process_count() == 1:
            self._previous_handler = signal.signal(signal.SIGTERM, self._request)
        return self

    def __exit__(self, *exception) -> None:
        if self._previous_handler is not None:
            signal.signal(signal.SIGTERM, self._previous_handler)

    def _request(self, number, frame):
        self._is_requested = True

    def reached(self) -> bool:
        """Returns True if the run must stop after this step; all processes get the same answer.

        Every process must call it exactly once in each step.
        """
        # JAX numbers the steps by this count. It must start from 1 in a resumed run too: a request
        # that arrives before the first call makes JAX stop at number 1, and at no later one.
        self._num_calls += 1
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(self._num_calls)
        return self._is_requested


def exit_if_distributed(error: Exception) -> None:
    """Ends this process after an error if the run has several processes; otherwise returns.

    Prints the traceback and a message. The exit code is LOST if another process died, which the
    message then names, and 1 otherwise. A regular exit would wait for the other processes, which
    wait for this one. JAX's own heartbeat check may end the process earlier; it names the dead
    process too.

    Args:
        error: The error that ended the run.
    """
    count = jax.process_count()
    if count == 1:
        return
    traceback.print_exception(error)
    # Other processes answer only if they have failed too, so they are asked only about errors that
    # all of them see.
    dead = _find_dead(count) if _may_come_from_others(error) else []
    if dead:
        processes = roll_call.processes_text(dead)
        message = (
            f"{processes} of {count} died. Look for the cause in the log of each, then run the "
            "same command on all hosts to resume from the newest checkpoint."
        )
    else:
        message = str(error) or type(error).__name__
    print(f"byol_jax: {message}", file=sys.stderr, flush=True)
    os._exit(LOST if dead else 1)


def _may_come_from_others(error) -> bool:
    """Returns True if JAX may have raised this error because another process failed.

    The other processes do not notice any other error; they continue to wait for this process.
    """
    while error is not None:
        if isinstance(error, jax.errors.JaxRuntimeError) or _STATUS.match(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _find_dead(count) -> list[int]:
    """Asks JAX's coordination service which processes have died.

    The service answers once every other process has asked too or has died.
    """
    print("a step failed; checking which processes are alive", file=sys.stderr, flush=True)
    client = _client()
    thread = concurrent.futures.ThreadPoolExecutor(1)
    answer = thread.submit(client.get_live_nodes, list(range(count)))
    try:
        alive = answer.result(timeout=_HEARTBEAT + 20)
    except TimeoutError:  # all processes are alive, and no other one has failed
        return []
    except RuntimeError:  # the service itself, which runs in process 0, has died
        alive = range(1, count)
    return [number for number in range(count) if number not in alive]
