"""Bytes changed at random, so that most of what made sense still does."""

from collections.abc import Sequence
from random import Random

_ODD = (b"", b"\0", b"\xff", b"-1", b"1e999", b"nan", b"99999999999999999999", b"'", b'"', b"\n")


def mutate(random: Random, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """Return one of `corpus` with one to eight changes.

    Args:
        random: Where chance comes from.
        corpus: Valid cases.
        tokens: What may mean something anywhere.
    """
    data = bytearray(random.choice(corpus))
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        _CHANGES[random.randrange(len(_CHANGES))](random, data, corpus, tokens)
    return bytes(data)


def _slice(random: Random, data: bytearray) -> slice:
    start = random.randrange(len(data) + 1)
    return slice(start, min(len(data), start + random.choice((1, 2, 4, 16, 64))))


def _flip(random: Random, data: bytearray, *_: object) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _overwrite(random: Random, data: bytearray, *_: object) -> None:
    if data:
        data[random.randrange(len(data))] = random.randrange(256)


def _delete(random: Random, data: bytearray, *_: object) -> None:
    del data[_slice(random, data)]


def _repeat(random: Random, data: bytearray, *_: object) -> None:
    part = _slice(random, data)
    data[part] = data[part] * random.choice((2, 3, 20))


def _insert(
    random: Random, data: bytearray, corpus: Sequence[bytes], tokens: Sequence[bytes]
) -> None:
    place = random.randrange(len(data) + 1)
    data[place:place] = random.choice([*tokens, *_ODD])


def _replace(
    random: Random, data: bytearray, corpus: Sequence[bytes], tokens: Sequence[bytes]
) -> None:
    if tokens:
        before, after = random.choice(tokens), random.choice([*tokens, *_ODD])
        data[:] = data.replace(before, after, 1)


def _splice(random: Random, data: bytearray, corpus: Sequence[bytes], *_: object) -> None:
    other = random.choice(corpus)
    place = random.randrange(len(data) + 1)
    data[place:] = other[random.randrange(len(other) + 1) :]


def _cut(random: Random, data: bytearray, *_: object) -> None:
    del data[random.randrange(len(data) + 1) :]


_CHANGES = (_flip, _overwrite, _delete, _repeat, _insert, _replace, _splice, _cut)
