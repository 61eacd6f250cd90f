"""What to say of a proxy that ran out of memory: whether a smaller batch would do."""

import gc
import traceback

import torch

from zc_search.proxies import Probe, Proxy

_SAID = ("can't allocate memory", "out of memory", "not enough memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, be it the machine's or a GPU's."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # On a CPU, torch raises a RuntimeError as any other.
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _SAID)


def explain_memory(proxy: Proxy, probe: Probe, error: Exception) -> str | None:
    """Try a proxy that ran out of memory once more, on half the batch; return what to say.

    A value from fewer images is another figure than those that it would stand beside: most
    proxies grow or shrink with the batch. So it is not used; that it could be had is.

    Args:
        proxy: The proxy that failed.
        probe: What it was given.
        error: What it raised.

    Returns:
        The reason for the missing value; None if it is another than memory.
    """
    if not is_out_of_memory(error):
        return None
    images = len(probe.images)
    fewer = images // 2
    if fewer < 2:
        return f"out of memory with {images} images"
    traceback.clear_frames(error.__traceback__)  # which hold on to what did not suffice
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        proxy(Probe(probe.network, probe.images[:fewer], probe.labels[:fewer], seed=probe.seed))
    except Exception as again:  # of any kind: there is no value either way
        return f"out of memory with {images} images, and no value with {fewer} ({_first(again)})"
    return (
        f"out of memory with {images} images; {fewer} fit (data.batch_size), but a value from "
        "fewer images cannot be compared with the others"
    )


def _first(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
