"""Programs: what their terminal lacks, being told to stop, and work side by side. Standard library only.

Being told once is enough, whatever else arrives while kernels are shut down and the last words are said.
"""

import contextlib
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import active_children, get_context

MEMORY_FOR_TWO = 12e9  # bytes; the two largest notebooks take half of it


def print_anything():
    """From now on what is printed has a question mark for every character that the terminal's encoding lacks, where
    Python would raise an error.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")


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


def workers(asked):
    """How many notebooks run side by side: as many as are asked for, or, asked for 0, two where there are two cores and
    the memory for any two of them, else one.
    """
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows does not tell
        memory = 0
    return max(1, asked) if asked else 1 + (memory >= MEMORY_FOR_TWO and (os.cpu_count() or 1) >= 2)


def side_by_side(work, jobs, workers):
    """Call a function for every job, given as its keyword arguments, and `threads`, each worker's share of the cores.

    Every job has a process of its own: one that is killed takes no other along. Told to stop (an exception, or the
    generator closed), they stop first.

    Yields:
        (job, result, seconds) in the order of the jobs; the result is None if the process was killed.
    """
    share = {"threads": max(1, (os.cpu_count() or 1) // workers)}
    with ThreadPoolExecutor(workers, initializer=_change_mask, initargs=("SIG_BLOCK",)) as pool:
        futures = [pool.submit(_in_own_process, work, job | share) for job in jobs]
        try:
            for job, future in zip(jobs, futures, strict=True):
                yield job, *future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            while any(future.running() for future in futures):
                for process in active_children():
                    process.terminate()
                time.sleep(0.1)


def _in_own_process(work, arguments):
    start, context = time.perf_counter(), get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_send_result, args=(sending, work, arguments))
    process.start()
    sending.close()
    try:
        result = receiving.recv()
    except EOFError:
        result = None
    process.join()
    return result, time.perf_counter() - start


def _send_result(sending, work, arguments):
    stop_once()
    signal.signal(signal.SIGINT, _stay)  # who started this process hears Ctrl+C too, and passes it on as SIGTERM
    _change_mask("SIG_UNBLOCK")
    with contextlib.suppress(KeyboardInterrupt):
        sending.send(work(**arguments))


def _change_mask(how):
    """Keep Ctrl+C from this thread and the processes that it starts until they know what to do with it."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(getattr(signal, how), {signal.SIGINT})
