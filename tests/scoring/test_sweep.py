"""Sweeps in real processes that get killed, and the file that survives them."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from zc_search.cli.score import _executor, score
from zc_search.config import Config, parse_config
from zc_search.errors import ArchitectureError, ConfigError, ScoresError, UsageError, ZcSearchError
from zc_search.proxies import Probe
from zc_search.scoring.architectures import (
    read_architectures,
    sample_space,
    score_architectures,
    with_proxies,
)
from zc_search.scoring.parallel import WORKER_DIED, score_group, too_long
from zc_search.scoring.scorer import Scorer, Scores
from zc_search.scoring.scores_file import load_scores, parts_of
from zc_search.scoring.store import ScoresWarning, Store, about, scores_of
from zc_search.scoring.sweep import (
    AT_ONCE,
    Progress,
    finished,
    make_jobs,
    reusable,
    score_space,
    sweep_scorer,
)
from zc_search.scoring.workers import WorkerNeverBeganError
from zc_search.spaces import Architecture, CellSpace

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def configured(*proxies: str, **space: object) -> Config:
    return parse_config(
        {
            "space": {"channels": 2, "cells": 1, **space},
            "data": {"source": "noise", "batch_size": 4},
            "objectives": dict.fromkeys(proxies or ("snip", "l2_norm", "jacov"), "maximize"),
        }
    )


def slow(probe: Probe) -> float:
    """A user's proxy that leaves time to be killed."""
    time.sleep(0.03)
    return 1.0


SLOW = configured("snip", "l2_norm", "jacov", f"{__name__}:slow")
SOME = sample_space(CellSpace(), 30, seed=3)
UNREACHABLE = Architecture.from_index(0)
FEW = [*SOME[:9], UNREACHABLE]


def values(table: pd.DataFrame) -> pd.DataFrame:
    """What must not depend on who computed it, and in how many goes."""
    return table.drop(columns="seconds")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("undisturbed") / "scores.parquet"
    with ThreadPoolExecutor(1) as executor:
        return score_space(SOME, SLOW, out, executor=executor)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    out, threads = tmp_path_factory.mktemp("few") / "scores.parquet", 3
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with ThreadPoolExecutor(1) as executor:
            table = score_space(FEW, SLOW, out, executor=executor)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    return table


# What is computed ---------------------------------------------------------------------------------


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_scores_are_those_of_the_scorer(few: pd.DataFrame) -> None:
    names = ["snip", "l2_norm", "jacov", "params", "flops"]
    direct = score_architectures(FEW, names, "noise", 4, channels=2, cells=1)
    pd.testing.assert_frame_equal(few[names], direct, check_exact=True)


def test_a_row_says_function_seconds_and_failures(tmp_path: Path, few: pd.DataFrame) -> None:
    assert few.index.tolist() == [str(a) for a in FEW]
    assert few["function_key"].tolist() == [a.function_key for a in FEW]
    assert (few["seconds"] > 0).all()
    not_finite = few["jacov"].isna()
    assert not_finite.any()
    assert few["failures"].notna().eq(not_finite).all()
    for failures in few["failures"].dropna():
        assert json.loads(failures) == {"jacov": "the value is nan"}


def test_architectures_of_a_function_are_scored_together_and_first_ones_first() -> None:
    alike = [a for a in CellSpace() if a.function_key == "nor_conv_3x3(x)"]
    jobs = make_jobs([*alike, UNREACHABLE])
    assert [*map(len, jobs[:3])] == [AT_ONCE, 1, AT_ONCE]
    assert sorted(map(str, sum(jobs, ()))) == sorted(map(str, [*alike, UNREACHABLE]))


def broken(probe: Probe) -> float:
    """A user's proxy with a mistake."""
    return probe.gradients  # type: ignore[attr-defined]


def test_an_error_in_a_proxy_costs_its_value_alone() -> None:
    (scores,) = score_group(sweep_scorer(configured("snip", f"{__name__}:broken")), (SOME[0],))
    assert math.isnan(scores.values[f"{__name__}:broken"])
    assert math.isfinite(scores.values["snip"])
    assert scores.failures[f"{__name__}:broken"].startswith("AttributeError: 'Probe' object has")


# Killed -------------------------------------------------------------------------------------------

SCRIPT = f"""
from {__name__} import SLOW, SOME
from zc_search.scoring.sweep import score_space
score_space(SOME, SLOW, "scores.parquet", workers=2, save_every=0.1)
"""


def children(pid: int) -> list[int]:
    # Of all its threads: each worker has one that started it.
    of_threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(c) for children in of_threads for c in children.read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep by two workers, killed when its second part was on disk."""
    folder = tmp_path_factory.mktemp("killed")
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    with subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=folder, env=environment) as sweep:
        parts = parts_of(folder / "scores.parquet")
        while len(list(parts.glob("*.parquet"))) < 2:
            assert sweep.poll() is None
            time.sleep(0.01)
        family = children(sweep.pid)
        sweep.kill()
    assert len(family) >= 2
    deadline = time.monotonic() + 20
    while any(map(alive, family)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, family)), "workers outlive their sweep"
    assert not (folder / "scores.parquet").exists()
    return folder


@linux
@pytest.mark.thorough
def test_a_killed_sweep_goes_on_where_it_was(
    killed: Path, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    out = shutil.copytree(killed, tmp_path / "copy") / "scores.parquet"
    with pytest.raises(ScoresError, match="is not finished; run the command that began it"):
        load_scores(out)
    seen: list[Progress] = []
    table = score_space(SOME, SLOW, out, workers=1, on_progress=seen.append)
    assert 0 < seen[0].done < len(SOME)
    assert seen[0].new == 0
    assert seen[-1].done == seen[-1].total == len(SOME)
    assert seen[-1].new == len(SOME) - seen[0].done
    assert seen[-1].remaining == 0
    # Bit for bit, though two workers began it and one has ended it.
    pd.testing.assert_frame_equal(values(table), values(undisturbed), check_exact=True)
    assert not parts_of(out).exists()


@linux
@pytest.mark.thorough
def test_a_damaged_part_is_computed_again_and_reported(
    killed: Path, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    out = shutil.copytree(killed, tmp_path / "copy") / "scores.parquet"
    part = min(parts_of(out).glob("*.parquet"))
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 1
    part.write_bytes(data)
    with pytest.warns(ScoresWarning, match=f"{part.name} is damaged; what it held is computed"):
        table = score_space(SOME, SLOW, out, workers=1)
    pd.testing.assert_frame_equal(values(table), values(undisturbed), check_exact=True)


@pytest.mark.thorough
def test_dask_workers_give_the_same_though_one_is_killed(
    tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra 'distributed'")
    begun: list[Progress] = []
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
        ) as cluster,
        _executor(cluster.scheduler_address) as (executor, threads),
    ):
        assert threads == 2
        victim = next(iter(cluster.workers.values())).process.process.pid

        def kill_one(progress: Progress) -> None:
            if progress.new > len(SOME) // 3 and not begun:
                begun.append(progress)
                os.kill(victim, signal.SIGKILL)

        table = score_space(
            SOME,
            SLOW,
            tmp_path / "scores.parquet",
            workers=threads,
            executor=executor,
            on_progress=kill_one,
        )
    assert begun[0].new < len(SOME)
    pd.testing.assert_frame_equal(values(table), values(undisturbed), check_exact=True)


def test_an_address_where_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs the extra 'distributed'")
    monkeypatch.setattr("zc_search.cli.score._PATIENCE", 0.2)
    with (
        pytest.raises(ScoresError, match=r"--dask=tcp://127\.0\.0\.1:9: no scheduler"),
        _executor("tcp://127.0.0.1:9"),
    ):
        pass


NO_CONVOLUTION = "|avg_pool_3x3~0|+|none~0|none~1|+|avg_pool_3x3~0|none~1|none~2|"


def deadly(probe: Probe) -> float:
    """A user's proxy that brings its process down, on the networks without any convolution."""
    if not probe.network.cells[0].state_dict():
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0


@pytest.mark.thorough
def test_who_kills_a_worker_twice_is_recorded_and_tried_again_by_the_next_call(
    tmp_path: Path,
) -> None:
    guilty = f"{__name__}:deadly"
    config = configured("snip", guilty)
    harmless = [a for a in SOME if "nor_conv" in str(a)][:3]
    out = tmp_path / "scores.parquet"
    seen: list[Progress] = []
    wanted = [*harmless, NO_CONVOLUTION]
    table = score_space(wanted, config, out, workers=1, on_progress=seen.append)
    assert seen[-1].failed == 1
    failures = table["failures"].dropna()
    assert failures.index.tolist() == [NO_CONVOLUTION]
    assert json.loads(failures.iloc[0]) == {guilty: f"{WORKER_DIED} (exit code -9)"}
    assert table["snip"].notna().all()
    assert math.isnan(table.loc[NO_CONVOLUTION, guilty])
    store = Store(out, about(config, sweep_scorer(config)))
    scores = [Scores(Architecture.from_string(NO_CONVOLUTION), dict.fromkeys(table.columns, 2.0))]
    with store.locked():
        store.append(scores)
        store.finish()
    again = score_space([NO_CONVOLUTION], config, out, workers=1)
    assert again.loc[NO_CONVOLUTION, "snip"] == 2.0


def hanging(probe: Probe) -> float:
    """A user's proxy that takes a minute, on the networks without any convolution."""
    if not probe.network.cells[0].state_dict():
        time.sleep(60)
    return 1.0


def limited(timeout: float) -> Config:
    settings = configured("snip", f"{__name__}:hanging", "l2_norm").model_dump(exclude_none=True)
    return parse_config(settings | {"proxies": {"timeout": timeout, "cache": "off"}})


@pytest.mark.thorough
def test_a_proxy_that_takes_too_long_costs_only_itself(tmp_path: Path) -> None:
    slow = f"{__name__}:hanging"
    harmless = [str(a) for a in SOME if "nor_conv" in str(a)][:2]
    wanted = [NO_CONVOLUTION, *harmless]
    table = score_space(wanted, limited(6.0), tmp_path / "scores.parquet", workers=1)
    failures = table["failures"].dropna().map(json.loads)
    assert failures.to_dict() == {NO_CONVOLUTION: {slow: too_long(6.0)}}
    assert table.drop(columns=["failures", slow]).notna().all(axis=None)
    assert table[slow].tolist()[1:] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("reason", "again"),
    [
        (too_long(3.0), True),
        (f"GivenUpError: {too_long(3.0)}", True),  # as an older version wrote
        (f"{WORKER_DIED} (exit code -9)", True),
        ("the value is nan", False),
    ],
)
def test_what_took_too_long_is_tried_again_by_the_next_call(
    tmp_path: Path, reason: str, *, again: bool
) -> None:
    config = configured("snip")
    out = tmp_path / "scores.parquet"
    store = Store(out, about(config, sweep_scorer(config)))
    known = {"snip": math.nan, "params": 2.0, "flops": 2.0}
    with store.locked():
        store.append([Scores(SOME[0], known, {"snip": reason})])
        store.finish()
        assert (str(SOME[0]) not in scores_of(store.read(), ["snip"])) is again


def test_what_is_lost_with_a_worker_says_nothing_of_the_function() -> None:
    names = ("snip", "params")
    lost, part = dict.fromkeys(names, WORKER_DIED), {"snip": too_long(1.0)}
    nothing = Scores(SOME[0], dict.fromkeys(names, math.nan), lost)
    some = Scores(SOME[0], {"snip": math.nan, "params": 1.0}, part)
    assert not reusable(nothing)
    assert reusable(some)


def test_an_executor_cannot_keep_a_time_limit(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as executor, pytest.raises(ScoresError) as refusal:
        score_space(SOME, limited(3.0), tmp_path / "s.parquet", executor=executor)
    assert refusal.value.key == "proxies.timeout"
    assert not [*tmp_path.iterdir()]


@linux
@pytest.mark.thorough
@pytest.mark.usefixtures("one_thread")
def test_the_memory_of_a_worker_stays_flat() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    scorer = sweep_scorer(configured("snip", "jacov", "zico"))
    used = []
    for job in make_jobs(sample_space(CellSpace(), 150, 1)):
        score_group(scorer, job)
        used.append(resident())
    # If the measurements of each network stayed, it would be 60 MB.
    assert max(used[-20:]) - max(used[40:60]) < 8 * 2**20


# Without processes: what a death costs -----------------------------------------------------------


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return sweep_scorer(configured("snip"))


def over(result: list[Scores] | Exception) -> Future[list[Scores]]:
    future: Future[list[Scores]] = Future()
    (future.set_exception if isinstance(result, Exception) else future.set_result)(result)  # type: ignore[arg-type]
    return future


def scored(group: tuple[Architecture, ...], **failures: str) -> list[Scores]:
    return [Scores(a, {"snip": 1.0}, failures) for a in group]


def test_a_death_holds_up_no_other_job(scorer: Scorer) -> None:
    """One job never ends; those that die beside it neither wait for it nor keep others waiting."""
    jobs = make_jobs(SOME)
    forever: Future[list[Scores]] = Future()
    handed_out = []

    def submit(group: tuple[Architecture, ...], known: Scores | None) -> Future[list[Scores]]:
        handed_out.append(group)
        if group == jobs[0]:
            return forever
        died = len(handed_out) in (3, 9, 10)
        return over(scored(group, snip=WORKER_DIED) if died else scored(group))

    results = finished(jobs, submit, 3, scorer)
    for _ in range(len(jobs) - 1):
        assert next(results) is not None
    assert next(results) is None
    assert len(handed_out) == len(jobs)
    forever.set_result(scored(jobs[0]))
    assert len(list(results)) == 1


def test_an_error_costs_one_job(scorer: Scorer) -> None:
    jobs = make_jobs(SOME[:3])
    results = [RuntimeError("no such network"), scored(jobs[1]), scored(jobs[2])]
    found = finished(jobs, lambda group, known: over(results.pop(0)), 1, scorer)
    failures = [scores[0].failures for scores in filter(None, found)]
    said = "RuntimeError: no such network"
    assert failures == [dict.fromkeys(("snip", "params", "flops"), said), {}, {}]


def test_a_machine_on_which_all_die_is_said_to_be_at_fault(scorer: Scorer) -> None:
    def submit(group: tuple[Architecture, ...], known: Scores | None) -> Future[list[Scores]]:
        return over(scored(group, snip=WORKER_DIED))

    with pytest.raises(ScoresError, match="3 architectures in succession killed their worker"):
        list(finished(make_jobs(SOME), submit, 3, scorer))


@pytest.mark.parametrize("end", [BrokenExecutor(), OSError(), CancelledError()], ids=repr)
def test_workers_that_are_gone_end_the_sweep(scorer: Scorer, end: Exception) -> None:
    with pytest.raises(ScoresError, match="the workers are gone"):
        list(finished(make_jobs(SOME), lambda group, known: over(end), 1, scorer))


def test_processes_that_never_begin_end_the_sweep(scorer: Scorer) -> None:
    with pytest.raises(WorkerNeverBeganError):
        list(finished(make_jobs(SOME), lambda g, k: over(WorkerNeverBeganError()), 1, scorer))


# The file -----------------------------------------------------------------------------------------


def made_up(architecture: Architecture) -> Scores:
    index = float(architecture.index)
    odd = {"snip": math.nan, "l2_norm": math.inf, "jacov": -math.inf}
    numbers = odd if architecture.index % 2 else {"snip": 1.0, "l2_norm": index, "jacov": 0.1}
    return Scores(architecture, {**numbers, "params": 1.0, "flops": index}, {}, 0.5)


@pytest.fixture(scope="module")
def said() -> dict[str, object]:
    config = configured()
    return about(config, sweep_scorer(config))


@pytest.fixture
def store(tmp_path: Path, said: dict[str, object]) -> Iterator[Store]:
    store = Store(tmp_path / "scores.parquet", said)
    with store.locked():
        yield store


def test_a_finished_file_is_sorted_whole_and_read_by_others(store: Store, tmp_path: Path) -> None:
    for start in (20, 0, 10):
        store.append([made_up(a) for a in SOME[start : start + 10]])
    store.finish()
    table, said = load_scores(tmp_path / "scores.parquet")
    order = sorted(SOME[:30], key=lambda a: a.index)
    assert table.index.tolist() == [str(a) for a in order]
    for name in ("snip", "l2_norm", "jacov", "flops"):
        assert table[name].tolist() == pytest.approx(
            [made_up(a).values[name] for a in order], nan_ok=True, abs=0
        )
    # NaN is a value of its own, not a gap.
    assert pq.read_table(tmp_path / "scores.parquet")["snip"].null_count == 0
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "scores.parquet"), table)
    assert said["proxies"] == {
        "snip": "maximize",
        "l2_norm": "maximize",
        "jacov": "maximize",
        "params": "minimize",
        "flops": "minimize",
    }
    assert said["seeds"] == {"data": 0, "weights": 0}
    assert parse_config(said["config"]) == configured()
    assert {"python", "zc-search", "torch"} <= said["versions"].keys()


def test_a_file_grows(tmp_path: Path, store: Store) -> None:
    store.append([made_up(a) for a in SOME[:20]])
    assert len(store.finish()) == 20
    store.append([made_up(a) for a in SOME[10:30]])
    assert len(store.finish()) == 30
    assert len(load_scores(tmp_path / "scores.parquet")[0]) == 30


def test_what_is_done_needs_no_worker(tmp_path: Path, said: dict[str, object]) -> None:
    config = configured()
    out = tmp_path / "scores.parquet"
    store = Store(out, said)
    with store.locked():
        store.append([made_up(a) for a in SOME])
    written = score_space(reversed(SOME[:9]), config, out, workers=10**6)
    assert written.index.tolist() == [str(a) for a in reversed(SOME[:9])]
    assert {p.name for p in tmp_path.iterdir()} == {"scores.parquet", ".scores.parquet.lock"}


def test_other_settings_are_refused_with_their_differences(tmp_path: Path) -> None:
    config = configured("snip")
    out = tmp_path / "scores.parquet"
    store = Store(out, about(config, sweep_scorer(config)))
    with store.locked():
        store.append([Scores(SOME[0], dict.fromkeys(("snip", "params", "flops"), 1.0))])
    for _ in ("parts", "file"):
        with pytest.raises(ScoresError) as refusal:
            score_space(SOME, configured("jacov", channels=3), out)
        for line in (
            "space.channels: 2 before, 3 now",
            "proxies: ['flops', 'params', 'snip'] before, ['flops', 'jacov', 'params'] now",
            "name another file",
        ):
            assert line in str(refusal.value)
        assert "data" not in str(refusal.value)
        score_space(SOME[:1], config, out)
    with pytest.raises(ScoresError, match=r"data\.fingerprint: '\w+' before, '\w+' now"):
        score_space(
            SOME,
            parse_config(
                {
                    "space": {"channels": 2, "cells": 1},
                    "data": {"source": "noise", "batch_size": 4, "seed": 7},
                    "objectives": {"snip": "maximize"},
                }
            ),
            out,
        )


def test_a_file_of_one_process_is_closed_to_others(tmp_path: Path, store: Store) -> None:
    with pytest.raises(ScoresError, match="another process is writing"):
        score_space(SOME, configured(), tmp_path / "scores.parquet")


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ScoresError, match=r"file: cannot be written"):
        score_space(SOME, configured(), tmp_path / "file" / "s.parquet")
    with pytest.raises(ScoresError, match="is a folder; name a file in it"):
        score_space(SOME, configured(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_files_that_are_no_scores(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "other"
    with pytest.raises(ScoresError, match="other: no such file"):
        load_scores(path)
    path.write_text("architecture,snip\n")
    with pytest.raises(ScoresError, match=r"is no Parquet file, or damaged \([^)]*\)$"):
        load_scores(path)
    with pytest.raises(ScoresError, match=r"; move it out of the way to compute it anew$"):
        score_space(SOME, configured(), path)
    pq.write_table(pa.table({"architecture": ["a"]}), path)
    with pytest.raises(ScoresError, match="a Parquet file, but not one of `zc-search score`"):
        load_scores(path)
    with pytest.raises(ScoresError, match="workers=0 must be at least 1"):
        score_space(SOME, configured(), path, workers=0)


@given(st.integers(min_value=0), st.integers(0, 7))
def test_no_flipped_bit_goes_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, said: dict[str, object], at: int, bit: int
) -> None:
    out = tmp_path_factory.mktemp("flipped") / "scores.parquet"
    store = Store(out, said)
    with store.locked():
        store.append([made_up(a) for a in SOME[:3]])
        (part,) = parts_of(out).glob("*.parquet")
        data = bytearray(part.read_bytes())
        data[at % len(data)] ^= 1 << bit
        part.write_bytes(data)
        with pytest.warns(ScoresWarning):
            assert store.read().empty


# What is asked for --------------------------------------------------------------------------------


def test_a_larger_sample_contains_a_smaller_one() -> None:
    space = CellSpace()
    small, large = sample_space(space, 20, 1), sample_space(space, 200, 1)
    assert large[:20] == small
    assert len(set(large)) == 200
    assert sample_space(space, 20, 2) != small
    assert len(set(sample_space(space, len(space), 0))) == len(space)
    with pytest.raises(ScoresError, match="a sample of 20,000: the space has 15,625"):
        sample_space(space, 20_000, 0)


@given(st.lists(st.integers(0, 15_624), min_size=1, max_size=20), st.sampled_from(["txt", "csv"]))
def test_what_is_listed_is_read(
    tmp_path_factory: pytest.TempPathFactory, indices: list[int], kind: str
) -> None:
    path = tmp_path_factory.mktemp("list") / f"list.{kind}"
    listed = [Architecture.from_index(index) for index in indices]
    if kind == "csv":
        pd.DataFrame({"n": indices, "architecture": map(str, listed)}).to_csv(path, index=False)
    else:
        path.write_text("# of mine\n\n" + "\n".join(map(str, listed)))
    assert read_architectures(path) == listed


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with pytest.raises(ArchitectureError, match=r"list\.txt cannot be read: No such file"):
        read_architectures(path)
    path.write_text("# nothing\n")
    with pytest.raises(ArchitectureError, match=r"list\.txt names no architecture; one a line"):
        read_architectures(path)
    path.write_text(f"{SOME[0]}\n|conv~0|\n")
    with pytest.raises(ArchitectureError, match=r"list\.txt, line 2: not an architecture string"):
        read_architectures(path)
    table = tmp_path / "list.csv"
    table.write_text("arch,n\nx,1\n")
    with pytest.raises(ArchitectureError, match="has no column 'architecture'; it has arch, n"):
        read_architectures(table)


def test_proxies_are_replaced_and_nothing_else() -> None:
    config = with_proxies(configured("jacov", "synflow"), ["zico", "snip"])
    assert [p.name for p in sweep_scorer(config).proxies] == ["params", "zico", "snip", "flops"]
    assert config.space == configured().space
    fitting = configured("jacov").model_dump(exclude_none=True)
    fitting |= {"ensemble": {"proxies": ["jacov"]}}
    replaced = with_proxies(parse_config(fitting), ["snip"])
    assert [p.name for p in sweep_scorer(replaced).proxies] == ["params", "snip", "flops"]
    assert replaced.ensemble.proxies is None
    with pytest.raises(ConfigError, match="'naswot-relu'; did you mean 'naswot_relu'"):
        with_proxies(configured(), ["naswot-relu"])
    with pytest.raises(ConfigError, match="--proxies names none"):
        with_proxies(configured(), [])


# The command --------------------------------------------------------------------------------------

app = typer.Typer()
app.command()(score)


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80"})
    if isinstance(result.exception, ZcSearchError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_scores_a_sample_and_has_nothing_to_do_again(tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    settings = ("space.channels=2", "space.cells=1", "data.batch_size=4", "data.source=noise")
    command = [f"--set={s}" for s in settings] + ["--proxies=snip, jacov", f"--out={out}"]
    listed = tmp_path / "list.txt"
    listed.write_text(f"{UNREACHABLE}\n{SOME[0]}")
    said = invoke(*command, "--file", str(listed), "--workers=1")
    assert "0 of 2, starting" in said
    assert "2 architectures, 2 functions, in" in said
    assert f"without a finite value: 1, such as {UNREACHABLE}: {{" in said
    assert f"next: zc-search evaluate {out}" in said
    table, _ = load_scores(out)
    assert table.columns.tolist() == [
        "function_key",
        *("params", "snip", "jacov", "flops"),
        *("seconds", "failures"),
    ]
    written = out.read_bytes()
    direct = score_architectures(table.index, ["snip", "jacov"], "noise", 4, channels=2, cells=1)
    pd.testing.assert_frame_equal(table[["snip", "jacov"]], direct, check_exact=True)
    said = invoke(*command, "--file", str(listed), "--set=benchmark.name=none")
    assert not {"starting", "next"} & set(said.replace(":", " ").split())
    assert out.read_bytes() == written
    with pytest.raises(ScoresError, match="a sample of 16,000"):
        invoke(*command, "--sample=16000")


@pytest.mark.parametrize("what", [(), ("--all", "--sample=3"), ("--sample=3", "--file=x")])
def test_the_command_wants_one_kind_of_architectures(what: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as refusal:
        invoke(*what)
    assert refusal.value.allowed == ("--all", "--sample", "--file")


def test_scores_are_written_to_nothing_but_parquet(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"kept as Parquet; Allowed: a name in \.parquet"
    ) as refusal:
        invoke("--sample=2", f"--out={tmp_path / 'x.csv'}")
    assert refusal.value.hint == "x.parquet"
    assert not [*tmp_path.iterdir()]


def test_scores_of_a_proxy_that_was_changed_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, config = tmp_path / "scores.parquet", configured("params", f"{__name__}:changeable")
    with ThreadPoolExecutor(1) as executor:
        score_space(SOME[:1], config, out, executor=executor)
    monkeypatch.setattr(sys.modules[__name__], "changeable", slow)  # as after an edit
    with pytest.raises(ScoresError, match=r"proxy '.*:changeable': .*source .* before, .*now"):
        score_space(SOME[:2], config, out, workers=1)
    assert len(load_scores(out)[0]) == 1


def changeable(probe: Probe) -> float:
    """A user's proxy that is edited between two calls."""
    return 1.0
