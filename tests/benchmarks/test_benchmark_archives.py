"""The official file handed to its authors' own API, and what is refused on the way there."""

import os
import sys
from pathlib import Path

import nas_201_api
import nasbench201_fixture as fixture
import numpy as np
import pytest
import torch

from zc_search.benchmarks.files import load_official, open_api
from zc_search.errors import BenchmarkError

INDEXES = (0, 2)


@pytest.fixture(scope="module")
def content():
    return fixture.official(INDEXES)


class Attack:
    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize("zipped", [False, True])
def test_the_api_answers_as_if_it_had_loaded_the_file(content, tmp_path, capsys, zipped):
    path = fixture.save_official(tmp_path, content, zipped=zipped)
    api = open_api(path)
    expected = nas_201_api.NASBench201API(content, verbose=False)
    assert isinstance(api, nas_201_api.NASBench201API)
    assert api.filename == path.name
    assert len(api) == len(expected)
    for index in INDEXES:
        for hp in ("12", "200"):
            for dataset in ("cifar10", "cifar100"):
                asked = (index, dataset, None, hp, False)
                assert api.get_more_info(*asked) == expected.get_more_info(*asked)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("attack", "asked"),
    [
        (Attack(os.system, "touch victim"), f"{os.name}.system"),
        (Attack(eval, "open('victim', 'w')"), "eval"),
        (Attack(getattr, "x", "__class__"), "getattr"),
        (Attack(np.load, "victim", None, True), "numpy.load"),
    ],
)
def test_another_type_is_refused_by_its_name(tmp_path, monkeypatch, attack, asked, zipped):
    monkeypatch.chdir(tmp_path)
    path = Path("NAS-Bench-201-v1_1.pth")
    deep = {"arch2infos": {0: {"full": [(attack,)]}}}
    torch.save(deep, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(BenchmarkError, match=f"v1_1.pth is not safe to load: it asks for {asked}"):
        open_api(path)
    assert not Path("victim").exists()


def test_a_tensor_of_odd_arguments_is_refused(tmp_path):
    path = tmp_path / "NAS-Bench-201-v1_1.pth"
    torch.save(
        {"a": Attack(torch._utils._rebuild_tensor_v2, "x", 0, (2**40,), (1,), False, {})}, path
    )
    with pytest.raises(BenchmarkError, match=r"is (damaged|not safe)"):
        load_official(path)


def test_what_is_no_official_file(content, tmp_path):
    with pytest.raises(BenchmarkError, match=r"absent.pth': there is no such file"):
        load_official(tmp_path / "absent.pth")
    path = fixture.save_official(tmp_path, content)
    wrong = path.rename(tmp_path / "NAS-Bench-201-v1_1-096897.pth")
    with pytest.raises(BenchmarkError, match="which must end in 096897 as its name does"):
        open_api(wrong)
    cut = tmp_path / "NAS-Bench-201-v1_1.pth"
    cut.write_bytes(wrong.read_bytes()[:5000])
    with pytest.raises(BenchmarkError, match=r"v1_1.pth is (damaged|not safe)"):
        open_api(cut)
    torch.save({"meta_archs": []}, cut)
    with pytest.raises(BenchmarkError, match="is no NAS-Bench-201 file: it lacks "):
        open_api(cut)


def test_a_missing_package_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nas_201_api", None)
    with pytest.raises(BenchmarkError, match=r"pip install \"optuna-zc-search\[nasbench201\]\""):
        open_api(tmp_path / "any.pth")
