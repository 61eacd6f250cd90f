"""The sentences that wrong input ends in, all in one file, to be read as a text.

After a change: ``pytest tests/test_messages.py --snapshot-update``, and read what changed.
"""

import sys
from pathlib import Path

import pytest
from small_search import SMALL
from syrupy.assertion import SnapshotAssertion
from wrong_settings import MINIMAL, WRONG

from zc_search.cli import main
from zc_search.config import parse_config
from zc_search.errors import ConfigError

COMMANDS = [
    "--config nowhere.toml",
    "--config .",
    "--config serch.toml",
    "--config broken.toml",
    "--config search.toml --set study.samplr=random --set data.batch_size=1",
    "--config search.toml --set =3",
    "--config search.toml proxies zico",
    "proxies snap",
    "proxies os:nothing",
    "query |nor|",
    "query 99999",
    "query 0 --codes mas",
    "query 0 --dataset cifar",
    "query 0 --seed one",
    "evaluate nofile.csv",
    "report nofolder",
    "export nofolder --to out",
    "train nofolder",
    "train nofolder --set study.seed=1",
    "score",
    "worker",
    "data show",
    "data fetch cifar",
    "init search.toml",
    "ensemble fit nofolder",
    "ensemble show nofolder",
    "compare --config nowhere.toml",
    "compare --config search.toml",
]


def test_settings(snapshot: SnapshotAssertion) -> None:
    said = []
    for setting, _, _ in WRONG:
        with pytest.raises(ConfigError) as error:
            parse_config(MINIMAL, [setting])
        said += [f"--set {setting}", *(f"  {problem}" for problem in error.value.problems)]
    assert "\n".join(said) == snapshot


def test_commands(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    snapshot: SnapshotAssertion,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("ZC_SEARCH_STORAGE", raising=False)
    (tmp_path / "search.toml").write_text(SMALL)
    (tmp_path / "broken.toml").write_text("[study]\nseed = \n")
    said = []
    for command in COMMANDS:
        monkeypatch.setattr(sys, "argv", ["zc-search", *command.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2, command
        out, err = capsys.readouterr()
        assert not out, command
        said += [f"zc-search {command}", *(f"  {line}" for line in err.splitlines())]
    assert "\n".join(said) == snapshot
