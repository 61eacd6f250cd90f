"""Reading a pickle piece by piece, against the C unpickler."""

import io
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zc_search.benchmarks.files import stream as stream_module
from zc_search.benchmarks.files.stream import ForgottenError, PickleStream
from zc_search.errors import BenchmarkError

KEYS = st.text(max_size=12) | st.integers(-(2**70), 2**70) | st.tuples(st.text(), st.integers())
FLOATS = st.floats(allow_nan=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | FLOATS | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.tuples(inner, inner)
        | st.tuples(inner, inner, inner, inner)
        | st.sets(KEYS, max_size=3)
    ),
    max_leaves=12,
)
CURVES = st.one_of(
    st.integers(2, 300).map(lambda n: {epoch: epoch / 7 for epoch in range(n)}),
    st.integers(2, 300).map(lambda n: OrderedDict((f"x-valid@{e}", e / 7) for e in range(n))),
    st.lists(st.text("ab\0@é", min_size=1, max_size=3), unique=True).map(
        lambda keys: dict.fromkeys(keys, 0.5)
    ),
    st.dictionaries(st.integers(0, 300), FLOATS | st.none(), max_size=30),
)


def stream(content: bytes, **options) -> PickleStream:
    return PickleStream(io.BytesIO(content), "some.pickle", **options)


@given(value=PLAIN, protocol=st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_plain_values_come_back_as_they_were(value, protocol):
    content = pickle.dumps(value, protocol)
    assert stream(content).load() == value
    twice = stream(content * 2)
    assert [twice.load(), twice.load()] == [value] * 2


@pytest.mark.thorough
@example(entries={0: [], 1: [0], 2: [0]}, protocol=2, ordered=False, small=False)
@example(entries={0: [0] * 1001, 1: [0]}, protocol=2, ordered=False, small=False)
@example(entries={0: {0: 0}, 1: {0: {0: 0}}}, protocol=2, ordered=False, small=False)
@given(
    entries=st.dictionaries(
        st.integers(0, 2**31 - 1), st.lists(CURVES | PLAIN, max_size=3), max_size=5
    ),
    protocol=st.integers(2, pickle.HIGHEST_PROTOCOL),
    ordered=st.booleans(),
    small=st.booleans(),
)
def test_entries_are_handed_out_one_by_one(entries, protocol, ordered, small):
    whole = {"before": ["x-valid@1", 777], "arch2infos": dict(entries), "after": {1, 2}}
    if ordered:
        whole["arch2infos"] = OrderedDict(entries)
    content = pickle.dumps(whole, protocol)
    chunk, stream_module._CHUNK = stream_module._CHUNK, 7 if small else stream_module._CHUNK
    try:
        reader = stream(content)
        found = list(reader.entries("arch2infos"))
    except ForgottenError:  # one key is the same text in two entries: what it says to do then
        reader = stream(content, forget=False)
        found = list(reader.entries("arch2infos"))
    finally:
        stream_module._CHUNK = chunk
    assert found == list(entries.items())
    assert list(reader.rest.items()) == [(k, v) for k, v in whole.items() if k != "arch2infos"]


def test_runs_share_their_keys_within_an_entry():
    keys = [f"ori-test@{epoch}" for epoch in range(200)]
    for protocol in (2, 4):
        entry = {name: {key: at / 3 for at, key in enumerate(keys)} for name in ("loss", "acc")}
        whole = {"f": 0, "e": {0: entry, 1: {"loss": {f"ori-test@{e}": 1.5 for e in range(200)}}}}
        assert dict(stream(pickle.dumps(whole, protocol)).entries("e")) == whole["e"]


def test_runs_of_the_same_letters_are_told_apart():
    short, long = dict.fromkeys(("a", "b", "c", "d"), 0.5), dict.fromkeys(("ab", "cd"), 0.5)
    again = pickle.loads(pickle.dumps(long))
    whole = {"f": 0, "e": {0: [short, long], 1: [again, pickle.loads(pickle.dumps(short))]}}
    assert dict(stream(pickle.dumps(whole, 2)).entries("e")) == whole["e"]
    assert dict(stream(pickle.dumps(whole, 4)).entries("e")) == whole["e"]


def test_a_container_of_an_earlier_entry_is_asked_for_in_vain_or_kept():
    shared = [1.0]
    content = pickle.dumps({"e": {0: {"a": shared}, 1: {"a": shared}}, "f": 0}, 2)
    with pytest.raises(ForgottenError):
        list(stream(content).entries("e"))
    kept = dict(stream(content, forget=False).entries("e"))
    assert kept[0]["a"] is kept[1]["a"]
    # texts and what numbers are made of are no containers
    text, number = "a text of some length", np.float64(0.25)
    content = pickle.dumps({"e": {at: {text: [number, text]} for at in range(5)}, "f": 0}, 2)
    assert dict(stream(content).entries("e")) == {at: {text: [0.25, text]} for at in range(5)}


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.bool_])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numbers_of_numpy_are_pythons_own(kind, protocol):
    found = stream(pickle.dumps([kind(1), {"a": kind(0)}], protocol)).load()
    assert found == [1, {"a": 0}]
    assert type(found[0]) in (float, int, bool)


class Attack:
    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Attack(os.system, "true"), 2), f"it asks for {os.name}.system; allowed: num"),
        (pickle.dumps([Attack(os.system, "true")], 4), f"it asks for {os.name}.system"),
        (pickle.dumps(np.arange(3), 2), r"it asks for numpy\.(_core|core)\.multiarray\._reconstr"),
        (pickle.dumps(ValueError("x"), 2), "it asks for (builtins|exceptions).ValueError"),
        (b"\x80\x02c__builtin__\nset\n}b.", "it changes a type"),
        (b"\x80\x02K\x01Q.", "it uses opcode b'Q'"),
        (b"\x80\x02}2s.", "it uses opcode b'2'"),
        (b"\x80\x02\x82\x01.", r"it uses opcode b'\\x82'"),
    ],
)
def test_more_than_data_is_refused(content, message):
    with pytest.raises(BenchmarkError, match=f"some.pickle is not safe to load: {message}"):
        stream(content).load()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02X\xff\xff\xff\x7f",  # a length beyond the file, which is not allocated
        b"\x80\x02h\x05.",
        b"\x80\x02u.",
        b"\x80\x02K\x01)R.",
        b"\x80\x02(u.",
        b"\x80\x02]K\x01K\x02s.",
        b"\x80\x02K\x01K\x02a.",
        b"\x80\x02\x86.",
        b"\x80\x02cnumpy\ndtype\nX\x01\x00\x00\x00?\x85R(K\x01tb.",
        b"\x80\x02ccollections\nOrderedDict\nK\x05\x85R.",
        b"\x80\x02c" + b"a" * 9000,
        b".",
    ],
)
def test_what_is_no_pickle_is_an_error(content):
    with pytest.raises(BenchmarkError, match=r"some.pickle is damaged, cut short or not a pickle"):
        stream(content).load()


SAMPLE = {
    "meta": ["a", "b"],
    "e": {
        0: {"c": {f"x@{e}": 0.5 for e in range(12)}, "n": np.float64(2)},
        1: {"s": {1, (2, "x")}},
    },
}
PICKLES = [pickle.dumps(SAMPLE, protocol) for protocol in (2, 4)]


@pytest.mark.parametrize("content", PICKLES)
def test_a_pickle_cut_anywhere_is_an_error(content):
    for cut in range(0, len(content), 3):
        with pytest.raises(BenchmarkError, match="damaged, cut short"):
            list(stream(content[:cut]).entries("e"))


@given(content=st.sampled_from(PICKLES), data=st.data())
def test_a_damaged_pickle_is_read_or_an_error_but_never_another(content, data):
    place = data.draw(st.integers(0, len(content) - 1))
    damaged = content[:place] + bytes([data.draw(st.integers(0, 255))]) + content[place + 1 :]
    for key in ("e", None):
        try:
            list(stream(damaged).entries(key))
        except (BenchmarkError, ForgottenError) as error:
            assert str(error)  # noqa: PT017


@given(content=st.binary(max_size=80))
def test_random_bytes_are_read_or_an_error_but_never_another(content):
    try:
        stream(content).load()
    except BenchmarkError as error:
        assert "some.pickle" in str(error)  # noqa: PT017
