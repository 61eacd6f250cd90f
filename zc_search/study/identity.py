"""Which process this is, and whether another one is known to have ended."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from platform import node

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SELF = Path("/proc/self")
_NAMESPACE = Path("/proc/self/ns/pid")
_MACHINE = Path("/etc/machine-id")
_FIRST_NAMESPACE = "pid:[4026531836]"  # the kernel's own; containers have others

Identity = Mapping[str, str | int]
"""What tells a process from all others; see `this_process`."""


def this_process() -> Identity:
    """Return what tells this process from all others, as far as the system says.

    Returns:
        ``host`` and ``pid``; on Linux also ``boot`` (of the kernel, new with each start),
        ``namespace`` (within which process numbers mean something), ``started`` (when the process
        was, in ticks since then) and ``machine`` (which keeps its name when it is started anew),
        where the system says them.
    """
    said: dict[str, str | int] = {"host": node(), "pid": os.getpid()}
    if sys.platform == "linux":
        try:
            if str(_SELF.readlink()) != str(os.getpid()):
                return said  # it shows the processes of another namespace
            said |= {
                "boot": _BOOT.read_text().strip(),
                "namespace": str(_NAMESPACE.readlink()),
                "started": str(_started(os.getpid())),
            }
            said["machine"] = _MACHINE.read_text().strip()
        except OSError:
            pass
    return said


def has_ended(other: object, here: Identity) -> bool | None:
    """Whether a process has ended.

    Args:
        other: What `this_process` returned there.
        here: What it returns here.

    Returns:
        None where it cannot be known, as of one on another machine or in a container of its own.
    """
    if not isinstance(other, dict) or not isinstance(other.get("pid"), int) or os.name != "posix":
        return None

    def same(*keys: str) -> bool:
        return all(here.get(key) and here.get(key) == other.get(key) for key in keys)

    if ("boot" in here) is not ("boot" in other):
        return None
    if "boot" not in here:
        # If it is there, it may still be another one that was given the number.
        return (same("host") and not _is_there(other["pid"])) or None
    if not same("boot"):
        # The machine was started anew since then; or two containers have its names from one image.
        first = here.get("namespace") == other.get("namespace") == _FIRST_NAMESPACE
        return (first and same("host", "machine")) or None
    if not same("namespace"):
        return None
    if not _is_there(other["pid"]):
        return True
    try:
        return _started(other["pid"]) != other.get("started")
    except OSError:
        return None


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def _started(pid: int) -> str | None:
    """Return when a process was started; None of one that has ended and waits for its parent.

    Raises:
        OSError: It cannot be looked at.
    """
    # Fields of proc(5) behind the name, which may hold blanks and brackets of its own.
    state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return None if state in "ZX" else rest[22 - 4]
