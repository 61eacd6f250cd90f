"""A file too large for memory, seen through a window that only moves forward."""

from typing import BinaryIO

_CHUNK = 4 * 2**20
_LONGEST = 64 * 2**20  # of one value; a longer one is no part of a table

AHEAD = 4096
"""Bytes to have at hand at every step, so that few steps find what they need cut off."""


class Window:
    """What has been read of a file and not been used yet.

    Args:
        file: Open for reading bytes; it need not be seekable.

    Attributes:
        bytes_read: How far the file has been read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer = b""
        self._at = 0
        self.bytes_read = 0

    def _fill(self, size: int) -> None:
        """Have so many bytes at hand, or those that are left."""
        while len(self._buffer) - self._at < size:
            chunk = self._file.read(_CHUNK)
            if not chunk:
                return
            self.bytes_read += len(chunk)
            self._buffer = self._buffer[self._at :] + chunk
            self._at = 0

    def _take(self, size: int) -> bytes:
        if size > _LONGEST:
            raise EOFError(f"it claims a value of {size:,} bytes")
        self._fill(size)
        taken = self._buffer[self._at : self._at + size]
        if len(taken) < size:
            raise EOFError("it is cut short")
        self._at += size
        return taken

    def _line(self) -> str:
        end = self._buffer.find(b"\n", self._at, self._at + AHEAD)
        if end < 0:
            raise EOFError("a name is cut short")
        taken = self._buffer[self._at : end]
        self._at = end + 1
        return taken.decode("ascii")

    def _number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self._take(size), "little", signed=signed)
