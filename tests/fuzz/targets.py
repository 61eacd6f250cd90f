"""What is fuzzed: each target takes bytes, and complains where they are treated wrongly."""

import json
import math
import os
import pickle
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from optuna.trial import TrialState

from zc_search._utils.files import NUMPY_ARRAYS, load_restricted
from zc_search.config import ConfigWarning, config_to_toml, parse_config, starter
from zc_search.ensemble import Ensemble, fit_ensemble
from zc_search.errors import ScoresError, ZcSearchError
from zc_search.images import Batch
from zc_search.scoring.scorer import Scores
from zc_search.scoring.scores_file import ScoresTable, load_scores
from zc_search.scoring.store import to_bytes, to_table
from zc_search.spaces import Architecture, read_architecture
from zc_search.study import RECORD, TrialRecord

Check = Callable[[bytes], bool]
"""Returns whether the bytes were accepted; raises whatever a user should never see."""


@dataclass(frozen=True)
class Target:
    """Something that reads what others wrote.

    Attributes:
        check: Reads bytes.
        corpus: Makes what it accepts.
        tokens: What may mean something to it.
        share: Of a thousand cases, how many are its.
    """

    check: Check
    corpus: Callable[[], list[bytes]]
    tokens: tuple[bytes, ...]
    share: int


@cache
def _file(name: str) -> Path:
    memory = Path("/dev/shm")  # noqa: S108  a name of its own follows
    return Path(mkdtemp(dir=memory if memory.is_dir() else None)) / name


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


# Architectures -----------------------------------------------------------------------------------


def _architecture(data: bytes) -> bool:
    text = _text(data)
    try:
        found = Architecture.from_string(text)
    except ZcSearchError:
        return False
    assert str(found) == text.strip()
    assert Architecture.from_string(str(found)) == found
    assert Architecture.from_index(found.index) == found
    return True


def _architectures() -> list[bytes]:
    return [str(Architecture.from_index(i)).encode() for i in (0, 7, 4321, 9000, 15_624)]


def _any_architecture(data: bytes) -> bool:
    text = _text(data)
    try:
        found = read_architecture(text)
    except ZcSearchError:
        return False
    assert read_architecture(str(found)) == found
    return True


_OPERATIONS = (b"none", b"skip_connect", b"nor_conv_1x1", b"nor_conv_3x3", b"avg_pool_3x3")

# Configurations ----------------------------------------------------------------------------------


def _config(data: bytes) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConfigWarning)
            config = parse_config(_text(data))
    except ZcSearchError:
        return False
    assert parse_config(config_to_toml(config)) == config
    return True


def _configs() -> list[bytes]:
    small = (
        '[study]\nname = "a"\nn_trials = 20\nsampler_options = { population_size = 6 }\n'
        "[space]\ncells = 1\n[objectives]\nsnip = { direction = 'maximize', scale = 2 }\n"
    )
    objectives = '[objectives]\n"a.b:c" = "minimize"\nparams = "default"\n'
    return [small.encode()] * 8 + [objectives.encode()] * 4 + [starter().encode()]


# Ensembles ---------------------------------------------------------------------------------------


@cache
def _ensemble_documents() -> dict[str, str]:
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "architecture": [str(Architecture.from_index(i)) for i in range(3000, 3040)],
            "function_key": [Architecture.from_index(i).function_key for i in range(3000, 3040)],
            "feasible": True,
            "pareto": True,
            "snip": random.random(40),
            "params": random.random(40),
            "val_accuracy": 80 + 10 * random.random(40),
        }
    )
    fitted = fit_ensemble(table, ["snip", "params"], fit_on="all", feature_set="rank", repeats=1)
    documents = {}
    for suffix in (".toml", ".json"):
        path = _file("written").with_suffix(suffix)
        fitted.save(path)
        documents[suffix] = path.read_text(encoding="utf-8")
    return documents


def _ensemble(data: bytes) -> bool:
    kind, data = (".json", data) if data.lstrip()[:1] == b"{" else (".toml", data)
    path = _file("ensemble").with_suffix(kind)
    path.write_bytes(data)
    try:
        found = Ensemble.load(path)
    except ZcSearchError:
        return False
    # Sealed: what is accepted is what was written, whatever has been done to spaces and quotes.
    assert found.to_dict() == json.loads(_ensemble_documents()[".json"])
    return True


# Pickles -----------------------------------------------------------------------------------------

_PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray, list, dict, tuple, set,
          frozenset, np.ndarray, np.generic, np.dtype)  # fmt: skip


class _Attack:
    def __init__(self, function: object, *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> object:
        return self._call


def _pickle(data: bytes) -> bool:
    path = _file("data.pickle")
    path.write_bytes(data)
    try:
        found = load_restricted(path, NUMPY_ARRAYS)
    except ZcSearchError:
        return False
    _assert_plain(found)
    return True


def _assert_plain(value: object, depth: int = 0) -> None:
    # The stand-ins for NumPy's types hold data and do nothing.
    kind = value if isinstance(value, type) else type(value)
    ours = kind.__module__ == "zc_search._utils.files" or kind is object
    assert isinstance(value, _PLAIN) or ours, type(value)
    if depth < 50:
        for inner in (
            [*value, *value.values()]
            if isinstance(value, dict)
            else value
            if isinstance(value, list | tuple | set | frozenset)
            else ()
        ):
            _assert_plain(inner, depth + 1)


def _pickles() -> list[bytes]:
    images = np.arange(24, dtype=np.uint8).reshape(2, 12)
    plain = {b"data": images, b"labels": [3, 1], "batch": "training", "f": [1.5, None, True]}
    marker = str(_file("attacked"))
    attacks: list[object] = [
        _Attack(os.system, f"touch {marker}"),
        _Attack(eval, "1"),
        _Attack(exec, "import os"),
        _Attack(getattr, "", "join"),
    ]
    return [pickle.dumps(plain, n) for n in range(pickle.HIGHEST_PROTOCOL + 1)] + [
        pickle.dumps({"data": attack, **plain}, 2) for attack in attacks
    ]


def _assert_not_attacked() -> None:
    assert not _file("attacked").exists(), "a pickle has run code"


_OPCODES = tuple(
    bytes([code]) for code in b"()NIJKMLFSTUVXBC\x8c\x8e]}aeds0122tQRbcigjpqr\x93\x94."
)
_GLOBALS = (b"cos\nsystem\n", b"cbuiltins\neval\n", b"cnumpy\nndarray\n", b"R.", b"\x80\x04", b"(")

# Batches -----------------------------------------------------------------------------------------

_TYPES = (torch.float32, torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool)


def _batch(data: bytes) -> bool:
    """Make tensors of the types, shapes and values that the bytes say."""
    data = data.ljust(16, b"\1")
    shape = [b % 5 for b in data[1 : 1 + data[0] % 6]]
    images = torch.zeros(shape, dtype=_TYPES[data[6] % len(_TYPES)])
    labels = torch.full([data[7] % 5] * (data[8] % 3), data[9] - 100).to(_TYPES[data[10] % 6])
    if images.numel() and images.is_floating_point():
        images.view(-1)[0] = (0.0, math.nan, math.inf, 1e38)[data[11] % 4]
    classes = None if data[12] % 2 else data[13] - 3
    try:
        found = Batch.from_tensors(images, labels, classes)
    except ZcSearchError:
        return False
    assert found.images.dtype == torch.float32
    assert found.images.ndim == 4
    assert len(found.images) == len(found.labels) >= 2
    assert torch.isfinite(found.images).all()
    assert 0 <= int(found.labels.min()) <= int(found.labels.max()) < found.classes
    return True


def _batches() -> list[bytes]:
    return [bytes([4, 2, 3, 4, 4, 1, 0, 2, 1, 101, 3, 0, 1, 9, 0, 0])]


# Tables ------------------------------------------------------------------------------------------


def _scores(data: bytes) -> bool:
    path = _file("scores.parquet")
    path.write_bytes(data)
    try:
        table, said = load_scores(path)
    except ScoresError:
        with pytest.raises(ScoresError):
            ScoresTable.read(path)
        return False
    assert isinstance(said["settings"], dict)
    assert all(table[name].dtype == float for name in said["proxies"])
    assert all(isinstance(name, str) for name in table.index)
    try:
        source = ScoresTable.read(path)
    except ZcSearchError:  # what the file says of its settings is text, which may be damaged
        return True
    assert len(source.table) == len(table)
    return True


def _score_files() -> list[bytes]:
    cells = [Architecture.from_index(i) for i in (0, 7, 4321)]
    config = "[objectives]\nsnip = 'maximize'\n"
    said = {"settings": {}, "proxies": {"snip": "maximize"}, "config": config}
    return [to_bytes(to_table([Scores(cell, {"snip": 0.5}) for cell in cells], said))]


# Trials ------------------------------------------------------------------------------------------


def _record(data: bytes) -> bool:
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        return False
    trial = optuna.trial.create_trial(
        state=TrialState.COMPLETE, value=1.0, user_attrs={RECORD: plain}
    )
    try:
        found = TrialRecord.of(trial)
    except ZcSearchError:
        return False
    if found is not None:
        assert TrialRecord.from_json(json.loads(json.dumps(found.to_json()))) == found or any(
            math.isnan(v) for v in found.proxies.values()
        )
    return found is not None


def _records() -> list[bytes]:
    cell = Architecture.from_index(4321)
    record = TrialRecord(
        str(cell), cell.function_key, {"snip": 0.5, "jacov": math.inf}, {"jacov": "inf"},
        {"val_accuracy": 90.0}, 3, None, {"proxies": 0.1}, "abc",
    )  # fmt: skip
    return [json.dumps(record.to_json()).encode()]


TARGETS = {
    "architecture": Target(_architecture, _architectures, (*_OPERATIONS, b"|", b"~", b"+"), 330),
    "any architecture": Target(
        _any_architecture, _architectures, (*_OPERATIONS, b"|", b"~", b"0", b":"), 120
    ),
    "pickle": Target(_pickle, _pickles, (*_OPCODES, *_GLOBALS), 250),
    "batch": Target(_batch, _batches, (), 145),
    "record": Target(_record, _records, (b"null", b"{}", b"[]", b'"', b",", b":"), 80),
    "ensemble": Target(
        _ensemble,
        lambda: [text.encode() for text in _ensemble_documents().values()],
        (b"=", b"[", b"]", b"{", b"}", b"true", b"null"),
        30,
    ),
    "scores": Target(_scores, _score_files, (b"PAR1", b"zc_search", b"{}"), 35),
    "config": Target(
        _config,
        _configs,
        (
            b"[study]",
            b"[objectives]",
            b"=",
            b"true",
            b"[",
            b"]",
            b"{}",
            b"snip",
            b"'",
            b"1979-01-01",
        ),
        10,
    ),
}
"""All targets, by name; their shares sum to 1,000."""


def watch_for_code() -> None:
    """Note every program that this process starts from now on, and end it there."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"):
            raise AssertionError(f"{event} {arguments}")

    sys.addaudithook(hook)
