"""Worker processes: started alike wherever something is computed in several of them."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import ParamSpec

import torch

P = ParamSpec("P")


@contextmanager
def process_pool(
    workers: int, threads: int, prepare: Callable[P, None], *args: P.args, **kwargs: P.kwargs
) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of fresh processes, each of which has run `prepare`.

    Nothing survives the caller: an exception cancels what has not begun, Ctrl-C is left to the
    caller, and when the caller is killed the workers leave too.

    Args:
        workers: How many processes.
        threads: Threads that torch may use in each.
        prepare: Importable function, called once in each process.
        *args: For `prepare`.
        **kwargs: For `prepare`.
    """
    with ProcessPoolExecutor(
        workers,
        # A fork would copy locks that torch's threads hold.
        get_context("spawn"),
        initializer=begin,
        initargs=(threads, prepare, args, kwargs),
    ) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def begin(
    threads: int, prepare: Callable[..., None], args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    """Make a fresh process a worker: its threads, no Ctrl-C of its own, no life after its parent.

    Args:
        threads: Threads that torch may use.
        prepare: Called in the end.
        args: For `prepare`.
        kwargs: For `prepare`.
    """
    torch.set_num_threads(threads)  # the process is ours
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_leave_with_parent, daemon=True).start()
    prepare(*args, **kwargs)


def _leave_with_parent() -> None:
    # A worker waits for work on a pipe whose other end it holds itself, so it would wait forever.
    if parent := parent_process():
        parent.join()
        os._exit(1)
