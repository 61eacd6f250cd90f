"""What is common to all commands: options in their place, a start without torch, progress."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from zc_search.benchmarks import open_benchmark
from zc_search.cli import printing
from zc_search.cli.app import app
from zc_search.errors import UsageError
from zc_search.spaces import Architecture

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"


@pytest.mark.parametrize(
    "options",
    [
        ["--config", "/nonexistent.toml", "--set", "study.samplr=x"],
        ["--set", "study.seed=1"],
        ["--fresh"],
        ["--join"],
        ["--workers", "2"],
        ["--json"],
        ["-q"],
        ["-v"],
    ],
)
@pytest.mark.parametrize("command", [["proxies", "zico"], ["data", "show"]])
def test_an_option_of_the_main_command_is_no_subcommands(
    options: list[str], command: list[str]
) -> None:
    done = CliRunner().invoke(app, [*options, *command])
    assert isinstance(done.exception, UsageError)
    assert done.exception.given == command[0]
    assert str(done.exception.key).startswith("--")
    assert done.stdout == ""


def test_a_mistake_is_a_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zc_search.cli import main

    monkeypatch.setattr(sys, "argv", ["zc-search", "--config", "nowhere.toml", "proxies", "zico"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("zc-search: --config stands before 'proxies'")


TORCH_FREE = [
    ["--help"],
    ["proxies"],
    ["proxies", "zico"],
    ["query", CELL],
    ["benchmark", "list"],
    ["init", "here.toml"],
    ["evaluate", "scores.csv", "--bootstrap", "5"],
    ["ensemble", "fit", "scores.csv", "--set=ensemble.folds=2", "--set=ensemble.repeats=1"],
    ["ensemble", "apply", "ensemble.toml", "scores.csv"],
    ["compare", "--config", "compare.toml"],
]


def test_what_needs_no_torch_never_loads_it(tmp_path: Path) -> None:
    code = (
        "import sys, json; from typer.testing import CliRunner; from zc_search.cli.app import app\n"
        "from zc_search.errors import ZcSearchError\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    done = CliRunner().invoke(app, command)\n"
        # What a CSV is not enough for is said when all is imported.
        "    refused = isinstance(done.exception, ZcSearchError)\n"
        "    assert refused or done.exit_code == 0, (command, done.exception)\n"
        "    assert 'torch' not in sys.modules, command\n"
    )
    cells = [str(Architecture.from_index(index)) for index in range(5000, 9000, 100)]
    accuracies = open_benchmark().table()["val_accuracy"]
    table = pd.DataFrame({"architecture": cells, "snip": [accuracies[cell] for cell in cells]})
    table["params"] = table["flops"] = range(len(table))
    table.to_csv(tmp_path / "scores.csv", index=False)
    (tmp_path / "compare.toml").write_text(
        "[compare]\ndatasets = ['cifar10']\nseeds = 2\naccuracies = 4\nworkers = 1\n"
        "[algorithms]\nrandom = {}\nlocal_search = {}\n"
    )
    arguments = [sys.executable, "-c", code, json.dumps(TORCH_FREE)]
    subprocess.run(arguments, check=True, cwd=tmp_path)


def test_a_look_up_needs_neither_pydantic_nor_pandas() -> None:
    code = (
        "import sys, zc_search; zc_search.open_benchmark().query(sys.argv[1])\n"
        "assert not {'torch', 'pydantic', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, CELL], check=True)


def test_progress_is_a_line_a_minute_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(printing.time, "monotonic", lambda: now)
    console: Any = Console(file=io.StringIO(), width=80)
    with printing.progress_line(console, "scoring") as update:
        for done in range(1200):
            now = 1000.0 + done / 10
            update(done, 1200, "")
        update(1200, 1200, "over")
    assert console.file.getvalue().splitlines() == [
        "scoring: 0 of 1,200",
        "scoring: 600 of 1,200",
        "scoring: 1,200 of 1,200, over",
    ]


def test_init_writes_files_that_the_commands_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zc_search.compare.settings import load_comparison
    from zc_search.config import load_config

    monkeypatch.chdir(tmp_path)
    for options, file, command in (
        ([], "search.toml", "zc-search --config"),
        (["--compare"], "compare.toml", "zc-search compare --config"),
    ):
        done = CliRunner().invoke(app, ["init", *options])
        assert done.output.rstrip().endswith(f"wrote {file}; next: {command} {file}")
    assert load_config("search.toml").study.name == "search"
    assert "random" in load_comparison("compare.toml").algorithms
