"""Several processes as one run: they meet, agree, are told to stop together, and miss the dead.

JAX's own service connects them. Before it, everybody reports to process 0: who does not come, or
came with another config or other code, is named, where that service would only end the process.
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

PREEMPTED = 75  # exit code of a run that was told to stop, and saved: the same command goes on
LOST = 76  # exit code where another process died
_HEARTBEAT = 100  # seconds without a sign of life, at most, until a process counts as dead
_STATUS = re.compile("(UNKNOWN|UNAVAILABLE|INTERNAL|ABORTED|CANCELLED|DEADLINE_EXCEEDED): ")


def find(coordinator: str | None, num_processes: int | None, process_id: int | None) -> Place:
    """The place given, or, where nothing is, the one that the launcher's environment tells.

    That is SLURM's, a TPU's, GKE's or Open MPI's, as JAX knows them. Raises ValueError where only a
    part is given, or nothing tells of a place.
    """
    given = (coordinator, num_processes, process_id)
    if None not in given:
        return Place(*given)
    if given != (None, None, None):
        raise errors.UserError(
            "give --coordinator, --num_processes and --process_id, or none of them."
        )
    unset = (None, None, None, None, None)
    address, count, number, _ = clusters.ClusterEnv.auto_detect_unset_distributed_params(*unset, 60)
    if None in (address, count, number):
        raise errors.UserError(
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
        raise errors.UserError(
            f"process_id ({place.process_id}) must be in [0, {place.num_processes}), the number of "
            "processes."
        )
    roll_call.meet(place, {**facts, "num_processes": place.num_processes}, timeout)
    faulthandler.disable()  # where JAX ends a process, it would read stacks that still change
    jax.distributed.initialize(
        *place,
        cluster_detection_method="deactivate",
        initialization_timeout=timeout,
        heartbeat_timeout_seconds=min(_HEARTBEAT, timeout),
    )


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


def exit_if_distributed(error: Exception) -> None:
    """Ends this process after an error where it is one of several, which would wait for each other.

    Exits with LOST if another process died, which it names, and with 1 otherwise. JAX's own
    heartbeat may end the process first; it names the dead too.
    """
    count = jax.process_count()
    if count == 1:
        return
    traceback.print_exception(error)
    dead = _dead(count) if _comes_of_jax(error) else []
    if dead:
        message = (
            f"process {', '.join(map(str, dead))} of {count} has died; see its log. The same "
            "command, on all hosts, goes on from the newest checkpoint."
        )
    else:
        message = str(error) or type(error).__name__
    print(f"byol_jax: {message}", file=sys.stderr, flush=True)
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
