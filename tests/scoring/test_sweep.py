"""Sweeps in real processes that get killed, and the file that survives them."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import typer
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from zc_search.cli.score import score
from zc_search.config import Config, parse_config
from zc_search.errors import ArchitectureError, ConfigError, ScoresError, ZcSearchError
from zc_search.proxies import Probe
from zc_search.scoring.direct import score_architectures
from zc_search.scoring.scorer import Scores
from zc_search.scoring.sweep import (
    WORKER_DIED,
    Progress,
    ScoresWarning,
    load_scores,
    score_space,
)
from zc_search.scoring.sweep.jobs import (
    AT_ONCE,
    Job,
    Scoring,
    forget,
    make_jobs,
    prepare,
    reusable,
    run,
)
from zc_search.scoring.sweep.pools import Pool, WorkerDiedError
from zc_search.scoring.sweep.request import read_architectures, sample_space, with_proxies
from zc_search.scoring.sweep.running import _finished
from zc_search.scoring.sweep.store import Store
from zc_search.scoring.sweep.table import about, parts_of
from zc_search.scoring.sweep.watching import Attempt, Watch, too_long
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
SOME = sample_space(CellSpace(), 40, seed=3)
UNREACHABLE = Architecture.from_index(0)


def values(table: pd.DataFrame) -> pd.DataFrame:
    """What must not depend on who computed it, and in how many goes."""
    return table.drop(columns="seconds")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("undisturbed") / "scores.parquet"
    return score_space(SOME, SLOW, out, workers=1)


# What is computed ---------------------------------------------------------------------------------


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_scores_are_those_of_the_scorer(undisturbed: pd.DataFrame) -> None:
    names = ["snip", "l2_norm", "jacov", "params", "flops"]
    direct = score_architectures(SOME, names, "noise", 4, channels=2, cells=1)
    pd.testing.assert_frame_equal(undisturbed[names], direct, check_exact=True)


def test_a_row_says_function_seconds_and_failures(
    tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    assert undisturbed.index.tolist() == [str(a) for a in SOME]
    assert undisturbed["function_key"].tolist() == [a.function_key for a in SOME]
    assert (undisturbed["seconds"] > 0).all()
    not_finite = undisturbed["jacov"].isna()
    assert undisturbed["failures"].notna().eq(not_finite).all()
    for failures in undisturbed["failures"].dropna():
        assert json.loads(failures) == {"jacov": "the value is nan"}


def test_functions_are_computed_once_and_dead_edges_counted_each_time() -> None:
    alike = [a for a in CellSpace() if a.function_key == "nor_conv_3x3(x)"]
    jobs = make_jobs([*alike, UNREACHABLE], {})
    assert [len(job.architectures) for job in jobs] == [AT_ONCE, 1]
    assert len(jobs[0].later) == len(alike) - AT_ONCE
    first = Scores(alike[0], {"snip": 1.0})
    following = jobs[0].next([first])
    assert following is not None
    assert following.known is first
    assert following.cost < jobs[0].cost
    assert make_jobs([UNREACHABLE], {})[0].next([]) is None


def broken(probe: Probe) -> float:
    """A user's proxy with a mistake."""
    return probe.gradients  # type: ignore[attr-defined]


def test_an_error_in_a_proxy_costs_one_row_at_most() -> None:
    scoring = Scoring.of(configured("snip", f"{__name__}:broken"))
    prepare("sweep", scoring)
    (scores,) = run("sweep", Job((SOME[0],)))
    assert math.isnan(scores.values[f"{__name__}:broken"])
    assert scores.failures[f"{__name__}:broken"].startswith("AttributeError: 'Probe' object has")
    forget("sweep")
    with pytest.raises(KeyError):
        run("sweep", Job((SOME[0],)))


def test_the_dearest_come_first() -> None:
    jobs = make_jobs(SOME, {})
    assert jobs[0].cost > 2 * jobs[-1].cost
    assert [job.cost for job in jobs] == sorted((job.cost for job in jobs), reverse=True)


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
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
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
def test_a_killed_sweep_goes_on_where_it_was(
    killed: Path, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    out = shutil.copytree(killed, tmp_path / "copy") / "scores.parquet"
    with pytest.raises(ScoresError, match="not finished, the scores so far are in"):
        load_scores(out)
    seen: list[Progress] = []
    table = score_space(SOME, SLOW, out, workers=1, on_progress=seen.append)
    assert 0 < seen[0].done < len(SOME)
    assert seen[0].new == 0
    assert seen[-1].done == seen[-1].total == len(SOME)
    assert seen[-1].new == len(SOME) - seen[0].done
    assert seen[-1].share == pytest.approx(1)
    # Bit for bit, though two workers began it and one has ended it.
    pd.testing.assert_frame_equal(values(table), values(undisturbed), check_exact=True)
    assert not parts_of(out).exists()


@linux
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


def test_dask_workers_give_the_same_though_one_is_killed(
    tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra 'distributed'")
    begun: list[Progress] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
    ) as cluster:
        victim = next(iter(cluster.workers.values())).process.process.pid

        def kill_one(progress: Progress) -> None:
            if progress.new > len(SOME) // 3 and not begun:
                begun.append(progress)
                os.kill(victim, signal.SIGKILL)

        table = score_space(
            SOME,
            SLOW,
            tmp_path / "scores.parquet",
            dask=cluster.scheduler_address,
            on_progress=kill_one,
        )
    assert begun[0].new < len(SOME)
    pd.testing.assert_frame_equal(values(table), values(undisturbed), check_exact=True)


def test_an_address_where_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = pytest.importorskip("zc_search.scoring.sweep.cluster", reason="needs 'distributed'")
    monkeypatch.setattr(cluster, "_PATIENCE", 0.2)
    with pytest.raises(ScoresError, match=r"dask='tcp://127\.0\.0\.1:9': no scheduler answers"):
        score_space(SOME, SLOW, tmp_path / "s.parquet", dask="tcp://127.0.0.1:9")


NO_CONVOLUTION = "|avg_pool_3x3~0|+|none~0|none~1|+|avg_pool_3x3~0|none~1|none~2|"


def deadly(probe: Probe) -> float:
    """A user's proxy that brings its process down, on the networks without any convolution."""
    if not probe.network.cells[0].state_dict():
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0


def test_who_kills_a_worker_twice_is_recorded_and_tried_again_by_the_next_call(
    tmp_path: Path,
) -> None:
    config = configured("snip", f"{__name__}:deadly")
    pool = NO_CONVOLUTION
    harmless = [a for a in SOME if "nor_conv" in str(a)][:3]
    out = tmp_path / "scores.parquet"
    seen: list[Progress] = []
    table = score_space([*harmless, pool], config, out, workers=1, on_progress=seen.append)
    assert seen[-1].failed == 1
    failures = table["failures"].dropna()
    assert failures.index.tolist() == [pool]
    assert set(json.loads(failures.iloc[0]).values()) == {WORKER_DIED}
    assert table.drop(index=pool)["snip"].notna().all()
    assert math.isnan(table.loc[pool, "snip"])
    store = Store(out, about(config, Scoring.of(config)))
    scores = [Scores(Architecture.from_string(pool), dict.fromkeys(table.columns, 2.0))]
    with store.locked():
        store.append(scores)
        store.finish()
    again = score_space([pool], config, out, workers=1)
    assert again.loc[pool, "snip"] == 2.0


def hanging(probe: Probe) -> float:
    """A user's proxy that takes a minute, on the networks without any convolution."""
    if not probe.network.cells[0].state_dict():
        time.sleep(60)
    return 1.0


def limited(timeout: float) -> Config:
    settings = configured("snip", f"{__name__}:hanging", "l2_norm").model_dump(exclude_none=True)
    return parse_config(settings | {"proxies": {"timeout": timeout, "cache": "off"}})


class SlowCrew:
    """Takes too long over the given proxies, and over all where it has begun none."""

    def __init__(self, *slow: str) -> None:
        self.slow = slow

    def submit(
        self, function: object, sweep: str, job: Job, watch: Watch, timeout: float
    ) -> Future[list[Scores]]:
        future: Future[list[Scores]] = Future()
        left = [name for name in self.slow if name not in watch.given_up]
        if left:
            watch.note.write_text(left[0])
            future.set_exception(TimeoutError())
        else:
            future.set_result(run(sweep, job, watch))
        return future


def attempted(tmp_path: Path, job: Job, *slow: str) -> Scores:
    scoring = Scoring.of(limited(2.0))
    prepare("sweep", scoring)
    attempt = Attempt(
        SlowCrew(*slow),  # type: ignore[arg-type]
        tmp_path / "note",
        run,
        ("sweep", job),
        timeout=2.0,
        reason=too_long(2.0),
        lost=lambda reason: [scoring.failed(a, reason) for a in job.architectures],
    )
    forget("sweep")
    (scores,) = attempt.outcome.result()
    return scores


def test_proxies_are_given_up_one_by_one(tmp_path: Path) -> None:
    first, second = [a for a in CellSpace() if a.function_key == "nor_conv_3x3(x)"][:2]
    given_up = {name: f"GivenUpError: {too_long(2.0)}" for name in ("snip", "flops")}
    scores = attempted(tmp_path, Job((first,)), "flops", "snip")
    assert scores.failures == given_up
    assert {name for name, value in scores.values.items() if math.isnan(value)} == set(given_up)
    following = Job((first,), (second,), at_once=1).next([scores])
    assert following is not None
    # Of its function the other one knows already, of its own dead edges it does not.
    assert attempted(tmp_path, following).failures == {"snip": given_up["snip"]}
    nothing = attempted(tmp_path, Job((first,)), "")
    assert set(nothing.failures.values()) == {too_long(2.0)}
    assert nothing.failures.keys() == nothing.values.keys()


@pytest.mark.slow
def test_a_proxy_that_takes_too_long_costs_only_itself(tmp_path: Path) -> None:
    slow = f"{__name__}:hanging"
    harmless = [str(a) for a in SOME if "nor_conv" in str(a)][:2]
    wanted = [NO_CONVOLUTION, *harmless]
    table = score_space(wanted, limited(6.0), tmp_path / "scores.parquet", workers=1)
    failures = table["failures"].dropna().map(json.loads)
    assert failures.to_dict() == {NO_CONVOLUTION: {slow: f"GivenUpError: {too_long(6.0)}"}}
    assert table.drop(columns=["failures", slow]).notna().all(axis=None)
    assert table[slow].tolist()[1:] == [1.0, 1.0]


@pytest.mark.parametrize(("reason", "again"), [(too_long(3.0), True), ("the value is nan", False)])
def test_what_took_too_long_is_tried_again_by_the_next_call(
    tmp_path: Path, reason: str, *, again: bool
) -> None:
    config = configured("snip")
    out = tmp_path / "scores.parquet"
    store = Store(out, about(config, Scoring.of(config)))
    known = {"snip": math.nan, "params": 2.0, "flops": 2.0}
    with store.locked():
        store.append([Scores(SOME[0], known, {"snip": f"GivenUpError: {reason}"})])
        store.finish()
    table = score_space(SOME[:1], config, out, workers=1)
    assert math.isfinite(table["snip"].item()) is again


def test_what_is_lost_with_a_worker_says_nothing_of_the_function() -> None:
    names = ("snip", "params")
    lost, part = dict.fromkeys(names, WORKER_DIED), {"snip": too_long(1.0)}
    nothing = Scores(SOME[0], dict.fromkeys(names, math.nan), lost)
    some = Scores(SOME[0], {"snip": math.nan, "params": 1.0}, part)
    assert reusable([nothing]) is None
    assert reusable([nothing, some]) is some


def test_a_cluster_cannot_keep_a_time_limit(tmp_path: Path) -> None:
    with pytest.raises(ScoresError, match=r"proxies\.timeout = 3: the workers of a Dask cluster"):
        score_space(SOME, limited(3.0), tmp_path / "s.parquet", dask="tcp://127.0.0.1:9")
    assert not [*tmp_path.iterdir()]


@linux
@pytest.mark.usefixtures("one_thread")
def test_the_memory_of_a_worker_stays_flat() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    prepare("sweep", Scoring.of(configured("snip", "jacov", "zico")))
    used = []
    for job in make_jobs(sample_space(CellSpace(), 150, 1), {})[::-1]:
        run("sweep", job)
        used.append(resident())
    forget("sweep")
    # If the measurements of each network stayed, it would be 60 MB.
    assert max(used[-20:]) - max(used[40:60]) < 8 * 2**20


# Without processes: which job is to blame --------------------------------------------------------


class FragilePool(Pool):
    """Breaks as a pool of processes does when it meets one of the given architectures."""

    def __init__(self, scoring: Scoring, deadly: dict[Architecture, int]) -> None:
        super().__init__(scoring)
        self.deadly = deadly
        self.broken = False
        self.restarts = 0

    window = 3

    def _start(self) -> None:
        self.broken = False
        self.restarts += 1

    def submit(self, job: Job) -> Future[list[Scores]]:
        if self.broken:
            raise WorkerDiedError
        left = self.deadly.get(job.architectures[0], 0)
        self.broken = left > 0
        self.deadly[job.architectures[0]] = left - 1
        future: Future[list[Scores]] = Future()
        future.set_result([Scores(a, {"snip": 1.0}) for a in job.architectures])
        return future

    def outcome(self, job: Job, future: Future[list[Scores]]) -> list[Scores]:
        if self.broken:
            raise WorkerDiedError
        return future.result()


@pytest.fixture(scope="module")
def scoring() -> Scoring:
    return Scoring.of(configured("snip"))


def outcomes(scoring: Scoring, deadly: dict[Architecture, int]) -> dict[Architecture, bool]:
    with FragilePool(scoring, deadly) as pool:
        finished = [f for f in _finished(deque(make_jobs(SOME, {})), pool) if f is not None]
    assert sum(len(scores) for _, scores in finished) == len(SOME)
    return {s.architecture: bool(s.failures) for _, scores in finished for s in scores}


def test_who_kills_a_worker_once_is_innocent(scoring: Scoring) -> None:
    jobs = make_jobs(SOME, {})
    once = {job.architectures[0]: 1 for job in (jobs[0], jobs[7], jobs[8], jobs[-1])}
    assert not any(outcomes(scoring, once).values())


def test_only_the_guilty_are_given_up(scoring: Scoring) -> None:
    jobs = make_jobs(SOME, {})
    guilty = [jobs[2], jobs[20], jobs[-1]]
    failed = outcomes(scoring, {job.architectures[0]: 2 for job in guilty})
    assert {a for a, has in failed.items() if has} == {a for j in guilty for a in j.architectures}


def test_a_machine_on_which_all_die_is_said_to_be_at_fault(scoring: Scoring) -> None:
    everything = {job.architectures[0]: 9 for job in make_jobs(SOME, {})}
    with pytest.raises(ScoresError, match="3 architectures in succession killed their worker"):
        outcomes(scoring, everything)


# The file -----------------------------------------------------------------------------------------


def made_up(architecture: Architecture) -> Scores:
    index = float(architecture.index)
    odd = {"snip": math.nan, "l2_norm": math.inf, "jacov": -math.inf}
    numbers = odd if architecture.index % 2 else {"snip": 1.0, "l2_norm": index, "jacov": 0.1}
    return Scores(architecture, {**numbers, "params": 1.0, "flops": index}, {}, 0.5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    config = configured()
    store = Store(tmp_path / "scores.parquet", about(config, Scoring.of(config)))
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


def test_what_is_done_needs_no_worker(tmp_path: Path) -> None:
    config = configured()
    out = tmp_path / "scores.parquet"
    store = Store(out, about(config, Scoring.of(config)))
    with store.locked():
        store.append([made_up(a) for a in SOME])
    written = score_space(reversed(SOME[:9]), config, out, workers=10**6)
    assert written.index.tolist() == [str(a) for a in reversed(SOME[:9])]
    assert [p.name for p in tmp_path.iterdir()] == ["scores.parquet"]


def test_other_settings_are_refused_with_their_differences(tmp_path: Path) -> None:
    config = configured("snip")
    out = tmp_path / "scores.parquet"
    store = Store(out, about(config, Scoring.of(config)))
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


def test_the_end_of_one_sweep_leaves_the_next_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = about(configured(), Scoring.of(configured()))
    first, second, third = (Store(tmp_path / "s.parquet", said) for _ in range(3))
    release = FileLock.release
    with ExitStack() as later:

        def release_and_begin_the_next(lock: FileLock, *, force: bool = False) -> None:
            monkeypatch.undo()
            release(lock, force=force)
            later.enter_context(second.locked())

        monkeypatch.setattr(FileLock, "release", release_and_begin_the_next)
        with first.locked():
            pass
        with pytest.raises(ScoresError, match="another process is writing"), third.locked():
            pass
        second.append([made_up(SOME[0])])
    assert len(second.read()) == 1


@pytest.mark.parametrize(("when", "times"), [("before", 1), ("after", 1), ("after", 10**6)])
def test_a_folder_that_another_sweep_takes_away_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, times: int
) -> None:
    store = Store(tmp_path / "s.parquet", about(configured(), Scoring.of(configured())))
    acquire = FileLock.acquire
    left = iter(range(times))

    def acquire_while_the_folder_goes(lock: FileLock, timeout: float) -> None:
        goes = next(left, None) is not None
        if goes and when == "before":
            shutil.rmtree(parts_of(tmp_path / "s.parquet"))
        acquire(lock, timeout=timeout)
        if goes and when == "after":
            shutil.rmtree(parts_of(tmp_path / "s.parquet"))

    monkeypatch.setattr(FileLock, "acquire", acquire_while_the_folder_goes)
    if times > 1:
        with pytest.raises(ScoresError, match="cannot be written: "), store.locked():
            pass
    else:
        with store.locked():
            store.append([made_up(SOME[0])])
            assert len(store.finish()) == 1
        assert [p.name for p in tmp_path.iterdir()] == ["s.parquet"]


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ScoresError, match=r"out='.*/file/s\.parquet' cannot be written: "):
        score_space(SOME, configured(), tmp_path / "file" / "s.parquet")
    with pytest.raises(ScoresError, match="is a folder; name a file in it"):
        score_space(SOME, configured(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_files_that_are_no_scores(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "other"
    with pytest.raises(ScoresError, match="other: no such file; `zc-search score --out"):
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
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    config = configured()
    out = tmp_path_factory.mktemp("flipped") / "scores.parquet"
    store = Store(out, about(config, Scoring.of(config)))
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
    assert [p.name for p in Scoring.of(config).proxies] == ["params", "zico", "snip", "flops"]
    assert config.space == configured().space
    fitting = configured("jacov").model_dump(exclude_none=True)
    fitting |= {"ensemble": {"proxies": ["jacov"]}}
    replaced = with_proxies(parse_config(fitting), ["snip"])
    assert [p.name for p in Scoring.of(replaced).proxies] == ["params", "snip", "flops"]
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
    assert f"1 have a value that is not finite, such as {UNREACHABLE}: {{" in said
    assert f"next: zc-search evaluate {out}" in said
    table, _ = load_scores(out)
    assert table.columns.tolist() == [
        "function_key",
        *("params", "snip", "jacov", "flops"),
        *("seconds", "failures"),
    ]
    written = out.read_bytes()
    assert "starting" not in invoke(*command, "--file", str(listed))
    assert out.read_bytes() == written
    assert "next" not in invoke(*command, f"--file={listed}", "--set=benchmark.name=none")
    with pytest.raises(ScoresError, match="a sample of 16,000"):
        invoke(*command, "--sample=16000")


@pytest.mark.parametrize("what", [(), ("--all", "--sample=3"), ("--sample=3", "--file=x")])
def test_the_command_wants_one_kind_of_architectures(what: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, what)
    assert result.exit_code == 2
    assert "one of --all, --sample N and --file FILE" in result.output
