"""What a search prints: to people at any width and in any encoding, and to machines."""

import fcntl
import json
import logging
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from report_runs import PROXIES, made_up_run, trials_table
from rich.console import Console
from small_search import SMALL
from typer.testing import CliRunner

from zc_search.cli.app import app
from zc_search.cli.progress import TerminalListener, logged_to
from zc_search.config import parse_config
from zc_search.ensemble import fit_ensemble
from zc_search.report.text import (
    pareto,
    print_result,
    quality,
    result_document,
    weights,
)
from zc_search.spaces import compact
from zc_search.study.record import SearchResult

ALONE = SMALL.replace("12", "4") + '[benchmark]\nname = "none"\n'
"""A search that is over soon: without accuracies there is no ensemble to judge."""

COMMAND = [sys.executable, "-m", "zc_search", "--config", "search.toml"]


def invoke(folder: Path, *arguments: str) -> Result:
    """Run a search with `SMALL` or, in a new folder, `ALONE`, in this process."""
    small = folder / "runs" / "small"
    (folder / "search.toml").write_text(SMALL if small.exists() else ALONE)
    named = f"output.folder={json.dumps(str(folder / 'runs'))}"
    given = ["--config", str(folder / "search.toml"), "--set", named, *arguments]
    done = CliRunner().invoke(app, given, catch_exceptions=False)
    assert done.exit_code == 0
    return done


def printed(result: SearchResult, width: int) -> list[str]:
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as captured:
        print_result(console, result)
    return captured.get().splitlines()


# Widths -------------------------------------------------------------------------------------------

MANY = ("naswot_relu", "my_package.my_module:depth_weighted_params", "synflow", "grad_norm", "snip")


@pytest.mark.parametrize("width", [60, 100])
@pytest.mark.parametrize("objectives", [2, 5])
def test_nothing_is_wider_than_the_terminal_and_no_number_is_cut(
    width: int, objectives: int
) -> None:
    result = made_up_run(60, objectives, proxies=(*MANY, "params", "flops"))
    lines = printed(result, width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    best = result.pareto.iloc[0]
    assert f"{best['val_accuracy']:.4g}" in text
    assert f"{best['naswot_relu']:.4g}" in text
    assert result.best is not None
    assert result.best.architecture in text.replace("+\n  ", "+")


def test_an_interval_of_rows_that_were_fitted_to_is_not_shown() -> None:
    result = made_up_run(60)
    assert result.ensemble is not None
    assert "% (90 %: " in "\n".join(printed(result, 100))
    assert result.best is not None
    best = replace(result.best, low=math.nan, high=math.nan)
    assert "90 %: " not in "\n".join(printed(replace(result, best=best), 100))


def test_what_has_no_room_is_named_and_comes_back_with_room() -> None:
    result = made_up_run(60, 5)
    narrow, wide = (printed(result, width) for width in (80, 200))
    (said,) = [line for line in narrow if line.startswith("no room here for")]
    missing = said.removeprefix("no room here for ").removesuffix(": see pareto.csv").split(", ")
    assert missing[-1] == "ms"
    heading = next(line for line in narrow if line.startswith("trial"))
    assert not set(missing) & set(heading.split())
    heading = next(line for line in wide if line.startswith("trial"))
    assert set(missing) <= set(heading.split())
    assert "architecture" in heading
    assert not [line for line in wide if line.startswith(("no room", "cell:"))]


@pytest.mark.parametrize("width", [60, 200])
def test_all_that_the_benchmark_knows_is_shown_if_asked_for(width: int) -> None:
    splits, ends = ("train", "val", "test"), ("loss", "accuracy", "seconds_per_epoch", "seconds")
    names = [f"{split}_{end}" for split in splits for end in ends]  # MASE's twelve
    result = made_up_run(60)
    front = pd.concat([result.pareto] * 8, ignore_index=True)
    figures = {n: 10.5 + place for place, n in enumerate(names)}
    front = front.assign(number=range(len(front)), **figures)
    front["test_loss"] = [np.nan, *[18.5] * (len(front) - 1)]
    result = replace(result, pareto=front)
    assert not [line for line in printed(result, width) if line.startswith("test_loss")]
    output = result.config.output.model_copy(update={"figures": True})
    config = result.config.model_copy(update={"output": output})
    asked = replace(result, config=config)
    lines = printed(asked, width)
    (start,) = [n for n, line in enumerate(lines) if line.startswith("What the benchmark knows")]
    rows = [line.split() for line in lines[start + 3 :] if line]
    found = {row[0].rstrip(","): row[-1] for row in rows}
    assert [float(found[name]) for name in names] == [10.5 + n for n in range(12)]
    assert max(map(len, lines)) <= width
    assert re.search(r"^test_loss +- ", "\n".join(lines), re.M)
    cut = [line for line in lines if re.match(r"the first \d+ of \d+; all in pareto.csv", line)]
    assert len(cut) == 1


def test_a_long_front_is_cut_and_says_so() -> None:
    result = made_up_run(60, 5)
    front = pd.concat([result.pareto] * 20, ignore_index=True)
    console = Console(width=80)
    with console.capture() as captured:
        console.print(pareto(replace(result, pareto=front), 15, 80))
    text = captured.get()
    assert text.startswith(f"Pareto front: {len(front)} distinct architectures, the first 15; all")
    assert len(re.findall(r"^ *\d+  [-s13p]\|[-s13p]{2}\|", text, re.M)) == 15


def test_undefined_correlations_are_called_so() -> None:
    result = made_up_run(60)
    assert result.ensemble is not None
    table = result.ensemble.quality.copy()
    table.loc[table.index[1], ["kendall_tau", "kendall_tau_low", "kendall_tau_high"]] = np.nan
    table.loc[table.index[2], ["spearman_low", "spearman_high"]] = np.nan
    console = Console(width=80)
    with console.capture() as captured:
        console.print(quality(table))
    assert re.search(r" -  +\.\d", captured.get())
    assert "nan" not in captured.get()


def test_options_in_a_proxys_name_are_no_markup() -> None:
    name = "synflow[log=false]"
    front = trials_table(4, 1, (name,))
    result = made_up_run(20, 1, proxies=("synflow",))
    objectives = parse_config({"objectives": {name: "maximize"}})
    console = Console(width=120)
    with console.capture() as captured:
        console.print(pareto(replace(result, pareto=front, config=objectives), 5, 120))
    assert name in captured.get()


def test_importances_are_not_called_percent_accuracy() -> None:
    fitted = fit_ensemble(
        trials_table(40),
        PROXIES,
        model="sklearn.linear_model:Ridge",
        folds=2,
        repeats=1,
        n_bootstrap=5,
    )
    console = Console(width=160)
    with console.capture() as captured:
        console.print(weights(fitted))
    assert "Kendall's tau lost" in captured.get()
    assert "percent accuracy" not in captured.get()


def test_the_ensemble_of_the_front_has_its_own_weights_and_held_out_line() -> None:
    result = made_up_run()
    lines = printed(replace(result, pareto_ensemble=result.ensemble), 100)
    assert sum(line.startswith("Ensemble of the front: linear") for line in lines) == 1
    assert sum(line.startswith("Rank correlation with the true") for line in lines) == 2
    assert sum(line.startswith("The ensemble that ranks is linear") for line in lines) == 1


def test_cells_in_nine_characters() -> None:
    cell = "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
    assert compact(cell) == "3|1-|s-p"


def test_brackets_in_a_plan_are_no_markup() -> None:
    console = Console(width=80)
    with console.capture() as captured, TerminalListener(console, console) as listener:
        listener.planned({"data": "[bold]/data/[cifar]"})
    assert captured.get().splitlines()[0].split() == ["data", "[bold]/data/[cifar]"]


# Pipes, machines, encodings -----------------------------------------------------------------------


def test_json_is_all_that_stands_on_standard_output(copied_run: Path) -> None:
    done = invoke(copied_run.parents[1], "--json")
    document = json.loads(done.stdout)
    assert "objectives  naswot_relu (maximize), params (minimize)" in done.stderr
    manifest = json.loads((copied_run / "manifest.json").read_text())
    front = pd.read_csv(copied_run / "pareto.csv")
    assert document["best"] == manifest["best"]
    assert document["trials"] == 12
    assert Path(document["report"]).exists()
    assert [row["architecture"] for row in document["pareto"]] == front["architecture"].tolist()
    features = {row["feature"] for row in document["ensemble"]["weights"]}
    assert {"naswot_relu", "params"} <= features
    assert document["ensemble"]["quality"][0]["predictor"] == "ensemble"


def test_json_has_names_for_what_json_lacks() -> None:
    result = made_up_run(30, ensemble=False)
    front = result.pareto.assign(snip=np.inf, jacov=np.nan)
    document = json.loads(result_document(replace(result, pareto=front)))
    assert document["pareto"][0]["snip"] == "Infinity"
    assert document["pareto"][0]["jacov"] is None
    assert document["best"] is None
    assert document["ensemble"] is None
    empty = replace(result, trials=pd.DataFrame(), pareto=pd.DataFrame())
    assert json.loads(result_document(empty))["trials"] == 0


@pytest.mark.parametrize("verbose", [False, True])
def test_warnings_are_always_said(verbose: bool) -> None:
    console = Console(file=StringIO(), width=40)
    logger = logging.getLogger("zc_search")
    with logged_to(console, verbose=verbose):
        logger.warning("the storage does not answer [yet]; trying for 60 s")
    logger.warning("nobody shows this")
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 1
    said = "the storage does not answer [yet]; trying for 60 s"
    assert lines[0].endswith(f"WARNING {said}" if verbose else f"zc-search: {said}")


def test_quiet_prints_nothing_but_the_log_that_is_asked_for(tmp_path: Path) -> None:
    done = invoke(tmp_path, "-v", "--quiet")
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert all(re.match(r"\d{4}-\S+ \S+ INFO ", line) for line in lines)
    assert len([line for line in lines if re.search(r" INFO trial \d: ", line)]) == 4


@pytest.mark.thorough
@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["ascii", "C"],
)
def test_pipes_of_other_encodings_get_letters_that_they_have(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    (tmp_path / "search.toml").write_text(SMALL)
    environment = {**os.environ, **variables}
    done = subprocess.run(COMMAND, cwd=tmp_path, check=True, capture_output=True, env=environment)
    text = done.stdout.decode("ascii")
    assert "?" not in text
    assert "\x1b" not in text
    assert "best by prediction" in text
    assert done.stderr == b""


def test_letters_that_an_encoding_lacks_end_nothing() -> None:
    code = (
        "from zc_search.cli import app as cli\n"
        "cli.app = lambda: print('sch\\N{LATIN SMALL LETTER O WITH DIAERESIS}n')\n"
        "cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=True,
    )
    assert done.stdout == b"sch?n\n"


# Terminals ----------------------------------------------------------------------------------------


def in_terminal(folder: Path, columns: int, *arguments: str, **variables: str) -> str:
    """Run the command in a terminal of its own; return all that it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm-256color", **variables},
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux: all that held the other side are gone
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait() == 0
    return written.decode()


COLOUR = re.compile(r"\x1b\[[\d;]*\b(?:3\d|4\d|9\d|10\d)(?:;[\d;]*)?m")


@pytest.mark.thorough
@pytest.mark.parametrize(("columns", "variables"), [(40, {"NO_COLOR": "1"}), (80, {})])
def test_progress_is_one_line_that_is_written_over(
    tmp_path: Path, columns: int, variables: dict[str, str]
) -> None:
    (tmp_path / "search.toml").write_text(ALONE)
    text = in_terminal(tmp_path, columns, **variables)
    assert "4/4" in text
    assert "\x1b[1A" not in text  # which a line too many would be gone over with
    assert len(re.findall(r"searching[^\n]*\n", text)) == 1
    assert bool(COLOUR.search(text)) == (not variables)


TWELVE = (
    *("params", "flops", "l2_norm", "layers", "snip", "grad_norm"),
    *("plain", "fisher", "synflow", "naswot", "naswot_relu", "jacov"),
)


def test_a_sampler_that_will_take_long_is_warned_of(tmp_path: Path) -> None:
    objectives = (f'objectives.{name}="default"' for name in TWELVE)
    given = ("study.sampler=gp", "study.n_trials=1", *objectives)
    settings = [part for setting in given for part in ("--set", setting)]
    done = invoke(tmp_path, *settings)
    warned = "gp takes some eight times as long for each further objective"
    said = " ".join(done.output.split())
    assert warned in said
    assert "for 12 objectives 'nsgaiii'" in said
