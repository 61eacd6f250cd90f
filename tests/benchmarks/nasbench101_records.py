"""Records of NAS-Bench-101 as its authors wrote them, made up: for tests."""

import base64
import json
import struct
from pathlib import Path

from zc_search.spaces import ModelSpec

_POLYNOMIAL = 0x82F63B78


def crc32c(content: bytes) -> int:
    """Return the checksum bit by bit, as RFC 3720 defines it."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(content: bytes) -> bytes:
    """Return one TFRecord."""
    length = struct.pack("<Q", len(content))
    return length + masked(length) + content + masked(content)


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: float | int | bytes) -> bytes:
    """Return a protobuf field: a double, a varint, or a text or message."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def evaluation(epoch: float, seconds: float, *accuracies: float) -> bytes:
    """Return an EvaluationData message: of training, validation and test images."""
    fields = field(1, epoch) + field(2, seconds)
    for number, accuracy in enumerate(accuracies, start=3):
        fields += field(number, accuracy)
    return fields + field(6, b"/path/to/model.ckpt-1234")


def metrics(
    epochs: int, parameters: int, halfway: tuple[float, ...], final: tuple[float, ...]
) -> bytes:
    """Return a ModelMetrics message; the two tuples are seconds and three accuracies."""
    evaluations = (
        evaluation(0.0, 0.0, 0.1, 0.1, 0.1),
        evaluation(epochs / 2, *halfway),
        evaluation(float(epochs), *final),
    )
    message = b"".join(field(1, one) for one in evaluations)
    return message + field(2, parameters) + field(3, 4321.5)


def row(spec: ModelSpec, epochs: int, message: bytes, *, name: str | None = None) -> bytes:
    """Return the content of a record."""
    bits = "".join(str(entry) for line in spec.matrix for entry in line)
    encoded = base64.encodebytes(message).decode()  # in lines
    fields = [name or spec.function_key, epochs, bits, ",".join(spec.ops), encoded]
    return json.dumps(fields).encode()


def write(path: Path, rows: list[bytes]) -> Path:
    """Write a file of these contents."""
    path.write_bytes(b"".join(map(record, rows)))
    return path
