"""Work side by side, each piece in a process of its own, and being told to stop. Standard library only.

Being told once is enough, whatever else arrives while kernels are shut down and the last words are said.
"""

import contextlib
import os
import signal
import time
from multiprocessing import connection, get_context


def stop_once():
    """From now on the first Ctrl+C or SIGTERM raises KeyboardInterrupt, and later ones do nothing."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def _stop(*_):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stay)
    raise KeyboardInterrupt


def _stay(*_):  # not signal.SIG_IGN, which the processes that are started would inherit
    pass


def side_by_side(work, jobs, workers):
    """Call a function for every job, given as its keyword arguments, and `threads`, each worker's share of the cores.

    Several workers have a process for every job: one that is killed takes no other along. Told to stop (an exception,
    or the generator closed), they stop first.

    Yields:
        (job, result, seconds) in the order of the jobs; the result is None if the process was killed.
    """
    if workers == 1:
        for job in jobs:
            start = time.perf_counter()
            yield job, work(**job), time.perf_counter() - start
        return
    context, share = get_context("spawn"), {"threads": max(1, (os.cpu_count() or 1) // workers)}
    waiting, running, ended = list(enumerate(jobs)), {}, {}
    try:
        for number, job in enumerate(jobs):
            while number not in ended:
                while waiting and len(running) < workers:
                    which, arguments = waiting.pop(0)
                    receiving, sending = context.Pipe(duplex=False)
                    process = context.Process(target=_send_result, args=(sending, work, arguments | share))
                    with _interrupts_blocked():
                        process.start()
                    sending.close()
                    running[receiving] = which, process, time.perf_counter()
                for receiving in connection.wait(running):
                    which, process, start = running.pop(receiving)
                    try:
                        result = receiving.recv()
                    except EOFError:
                        result = None
                    ended[which] = result, time.perf_counter() - start
                    process.join()
            yield job, *ended[number]
    finally:
        for _, process, _ in running.values():
            process.terminate()
        for _, process, _ in running.values():
            process.join()


def _send_result(sending, work, arguments):
    stop_once()
    signal.signal(signal.SIGINT, _stay)  # who started this process hears Ctrl+C too, and passes it on as SIGTERM
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    with contextlib.suppress(KeyboardInterrupt):
        sending.send(work(**arguments))


@contextlib.contextmanager
def _interrupts_blocked():
    """Keep Ctrl+C from a process that is started here until it knows what to do with it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
