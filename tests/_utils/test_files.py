import copy
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from zc_search._utils.files import NUMPY_ARRAYS, load_restricted
from zc_search.errors import DataError
from zc_search.images.official import read_official


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    path = tmp_path_factory.mktemp("pickles") / "some.pickle"

    def load(content, allowed=NUMPY_ARRAYS, **options):
        path.write_bytes(content)
        return load_restricted(path, allowed, **options)

    return load


DTYPES = st.one_of(
    npst.boolean_dtypes(),
    npst.integer_dtypes(endianness="?"),
    npst.unsigned_integer_dtypes(endianness="?"),
    npst.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    npst.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    npst.byte_string_dtypes(min_len=1, max_len=4),
    npst.unicode_string_dtypes(min_len=1, max_len=4),
)
SHAPES = npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
LAYOUTS = (np.ascontiguousarray, np.asfortranarray, np.transpose, lambda array: array[..., ::2])


@given(
    array=npst.arrays(DTYPES, SHAPES),
    layout=st.sampled_from(LAYOUTS),
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
)
def test_arrays_come_back_as_pickle_gives_them(load, array, layout, protocol):
    array = layout(array) if array.ndim else array
    content = pickle.dumps({"array": array, "again": [array]}, protocol)
    found, expected = load(content)["array"], pickle.loads(content)["array"]
    assert isinstance(found, np.ndarray)
    assert (found.dtype, found.shape) == (expected.dtype, array.shape)
    assert found.tobytes() == expected.tobytes()
    assert found.tolist() == array.tolist() or array.dtype.kind in "fc"  # NaN is not NaN
    assert found.flags.writeable


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(value=PLAIN, protocol=st.integers(1, pickle.HIGHEST_PROTOCOL))
def test_plain_values_come_back_as_they_were(load, value, protocol):
    assert load(pickle.dumps(value, protocol)) == value
    if protocol > 2:
        assert load(pickle.dumps(value, protocol), {}) == value


class Attack:
    """Pickled as a call of whatever it was given."""

    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


def nested(attack):
    array = np.empty(2, object)
    array[:] = [1, [attack]]
    return array


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("wrap", [lambda attack: attack, lambda attack: {"data": [attack]}, nested])
@pytest.mark.parametrize(
    ("function", "argument", "name"),
    [
        (os.system, "touch {}", f"{os.name}.system"),
        (eval, "open({!r}, 'w').close()", "(builtins|__builtin__).eval"),
        (exec, "open({!r}, 'w').close()", "(builtins|__builtin__).exec"),
    ],
)
def test_calls_are_refused_by_name_and_nothing_runs(
    load, tmp_path, function, argument, name, wrap, protocol
):
    victim = tmp_path / "victim"
    content = pickle.dumps(wrap(Attack(function, argument.format(str(victim)))), protocol)
    with pytest.raises(DataError, match=f"some.pickle is not safe to load: it asks for {name};"):
        load(content)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", "numpy.ndarray.tofile"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (b"cnumpy.core.multiarray\nfromfile\n.", "numpy.core.multiarray.fromfile"),
        (b"\x80\x02ccopy_reg\n_reconstructor\n.", "copy_reg._reconstructor"),
    ],
)
def test_every_way_to_name_something_is_guarded(load, content, name):
    with pytest.raises(DataError, match=rf"it asks for {name}; allowed: numpy\.dtype, "):
        load(content)


def test_nothing_allowed_says_so(load):
    with pytest.raises(DataError, match=r"it asks for numpy\.dtype; allowed: nothing"):
        load(b"cnumpy\ndtype\n.", {})


def test_the_caller_may_allow_more(load):
    value = OrderedDict(seed=777, accuracy=91.2)
    allowed = {("collections", "OrderedDict"): OrderedDict}
    assert load(pickle.dumps(value), allowed) == value


@pytest.mark.parametrize("encoding", ["latin1", "bytes"])
def test_strings_of_python_2_follow_the_encoding(load, encoding):
    found = load(b"\x80\x02U\x02\xe9a.", encoding=encoding)
    assert found == (b"\xe9a" if encoding == "bytes" else "éa")
    array = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02i2K\x00K\x01\x87R"
        b"(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x00\x01\xff\xfetb."
    )
    assert load(array, encoding=encoding).tolist() == [1, -2]


@pytest.mark.parametrize(
    "array",
    [
        np.array([{}, []], object),
        np.zeros(2, [("a", "i4"), ("b", "O")]),
        np.zeros(2, "M8[s]"),
        np.zeros(2, "V3"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_arrays_of_more_than_plain_values_are_refused(load, array, protocol):
    with pytest.raises(DataError, match=r"numpy arrays of dtype .* are not read"):
        load(pickle.dumps(array, protocol))


def test_an_array_can_be_copied_and_pickled_on(load):
    array = load(pickle.dumps(np.arange(3), 2))
    assert copy.deepcopy(array).tolist() == [0, 1, 2]
    assert pickle.loads(pickle.dumps(array)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        # A memo index or a length beyond the file, which would be allocated before it is read.
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "it numbers a value 2147483647, the file has 9 bytes"),
        (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0fabc.", "damaged"),
        # numpy's own constructors would allocate these shapes.
        (b"cnumpy\nndarray\n(J\xff\xff\xff\x7ftR.", "damaged"),
        (b"\x80\x02\x82\x01.", "damaged"),
        (b"\x80\x02NQ.", "damaged"),
        (b"c__builtin__\nbytes\n(J\xff\xff\xff\x7ftR.", "damaged"),
    ],
)
def test_what_would_be_allocated_before_it_is_read_is_refused(load, content, message):
    with pytest.raises(DataError, match=message):
        load(content)


def test_a_shape_without_its_values_allocates_nothing(load):
    content = pickle.dumps(np.zeros(3, np.uint8), 2)
    assert content.count(b"K\x03\x85") == 1
    with pytest.raises(DataError, match="damaged"):
        load(content.replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85"))


def test_a_pickle_cannot_change_the_functions_it_calls(load):
    attack = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(NX\x0c\x00\x00\x00__defaults__)dtb."
    attack = attack.replace(b")dtb", b")stb").replace(b"(NX", b"(N}X")
    with pytest.raises(DataError, match="it changes a function"):
        load(attack)


def test_deep_lists_and_wide_tuples_are_data(load):
    deep = load(b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".")
    for _ in range(4999):
        (deep,) = deep
    assert deep == []
    table = {(seed, name): (1.0,) * 50 for seed in range(100) for name in ("train", "valid")}
    assert load(pickle.dumps(table)) == table


SAMPLE = {"labels": [1, 2, 3], "data": np.arange(12, dtype=np.uint8).reshape(3, 4), "seed": (7, 8)}
PICKLES = [pickle.dumps(SAMPLE, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]


@pytest.mark.parametrize("content", PICKLES, ids=lambda content: f"{len(content)} bytes")
def test_a_pickle_cut_anywhere_is_an_error(load, content):
    for cut in range(len(content)):
        with pytest.raises(DataError, match="is damaged, cut short or not a pickle"):
            load(content[:cut])


@given(content=st.sampled_from(PICKLES), data=st.data())
def test_a_damaged_pickle_is_read_or_an_error_but_never_another(load, content, data):
    place = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255))
    damaged = content[:place] + bytes([byte]) + content[place + 1 :]
    try:
        load(damaged)
    except DataError as error:
        assert "some.pickle" in str(error)  # noqa: PT017


@given(content=st.binary(max_size=60))
def test_random_bytes_are_read_or_an_error_but_never_another(load, content):
    try:
        load(content)
    except DataError as error:
        assert "some.pickle" in str(error)  # noqa: PT017


def test_what_is_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match=f"{path} is not a file"):
            load_restricted(path, {})


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    path = tmp_path / "locked"
    path.touch()

    def locked(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", locked)
    with pytest.raises(DataError, match="locked cannot be read: Permission denied"):
        load_restricted(path, {})


@pytest.mark.parametrize("names", [[*map(str, range(9)), 10**5000], [3] * 10])
def test_class_names_that_are_no_texts_are_numbers(tmp_path, names):
    images = {"data": np.zeros((10, 3072), np.uint8), "labels": list(range(10))}
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(images, 2))
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({"label_names": names}, 2))
    assert read_official("cifar10", tmp_path).class_names == tuple("0123456789")
