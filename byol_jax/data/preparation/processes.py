"""Many processes for one function, which leave Ctrl-C to the parent and do not outlive it."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator

from byol_jax import errors


def run(function: Callable, jobs: list[tuple], workers: int, done: Callable) -> None:
    """Calls function(*job) for every job, in any order, and done(result) here after each.

    Functions that have started end before an exception leaves this one. Raises RuntimeError when a
    process dies.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks
    pool = concurrent.futures.ProcessPoolExecutor(workers, context, _serve)
    try:
        with _without_interrupts():
            futures = [pool.submit(function, *job) for job in jobs]
        for future in concurrent.futures.as_completed(futures):
            done(future.result())
    except concurrent.futures.process.BrokenProcessPool as error:
        raise errors.UserError(
            "a process that read pictures was killed, often since the memory was full; the same "
            f"command with --workers={max(workers // 2, 1)} goes on from here."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Holds Ctrl-C back while processes start, so that it does not tear them from their imports."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
