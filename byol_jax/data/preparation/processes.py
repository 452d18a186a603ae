"""Function calls in parallel processes, which ignore Ctrl-C and exit with their parent process."""

import concurrent.futures
import concurrent.futures.process
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from byol_jax import errors

Result = TypeVar("Result")


def run(
    function: Callable[..., Result],
    jobs: Sequence[tuple[Any, ...]],
    workers: int,
    done: Callable[[Result], None],
) -> None:
    """Calls a function with each of several argument lists, in parallel processes.

    The order of the calls is not defined. If an exception occurs, calls that have started finish
    before it is raised, and no others start.

    Args:
        function: Function to call; it must be importable by the other processes.
        jobs: Positional arguments of each call.
        workers: Number of processes.
        done: Called in this process with the result of each call.

    Raises:
        UserError: A process was killed.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads hold
    pool = concurrent.futures.ProcessPoolExecutor(workers, context, _initialize)
    try:
        with _interrupts_blocked():
            futures = [pool.submit(function, *job) for job in jobs]
        for future in concurrent.futures.as_completed(futures):
            done(future.result())
    except concurrent.futures.process.BrokenProcessPool as error:
        fewer_workers = max(workers // 2, 1)
        raise errors.UserError(
            "a process that reads images was killed, probably because memory ran out; to resume, "
            f"run the same command with --workers={fewer_workers}."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Delays Ctrl-C until processes have started, so that it does not interrupt their imports."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)


def _initialize() -> None:
    """Makes a new process ignore Ctrl-C and exit when its parent process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("_initialize must run in a child process.")

    def exit_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=exit_with_parent, daemon=True).start()
