"""TransNAS-Bench-101's file as its authors build it: converted, looked up, searched with."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import zc_search
from zc_search.benchmarks import open_benchmark
from zc_search.benchmarks.files import convert
from zc_search.benchmarks.transnas import TransNASBench
from zc_search.cli.app import app
from zc_search.config import parse_config
from zc_search.errors import BenchmarkError, ConfigError
from zc_search.spaces import MicroSpace
from zc_search.spaces.transnas_micro.architecture import TASKS

EPOCHS = 3
METRICS = {
    **dict.fromkeys(("class_scene", "class_object", "jigsaw"), ("top1", "top5", "loss")),
    "room_layout": ("loss", "neg_loss"),
    "segmentsemantic": ("loss", "acc", "mIoU"),
    **dict.fromkeys(("normal", "autoencoder"), ("l1_loss", "ssim")),
}
OURS = {"top1": "accuracy", "acc": "accuracy", "top5": "top5_accuracy", "mIoU": "miou"}
COSTS = ("inference_time", "encoder_params", "model_params", "model_FLOPs", "encoder_FLOPs")
FEWER = {**MicroSpace().choices, **dict.fromkeys(("op_1_0", "op_3_2"), ("nor_conv_3x3",))}
SOME = "64-41414-1_02_333"
MISSING = "64-41414-0_00_001"  # not trained for the last task


def content() -> dict[str, Any]:
    """What the authors' API reads: ``data[space][architecture][task]``, a figure an epoch."""
    drawn = random.Random(1)  # noqa: S311
    data: dict[str, Any] = {"macro": {"64-1234-basic": {}}, "micro": {}}
    names = {
        task: [f"{split}_{what}" for split in ("train", "valid", "test") for what in whats]
        for task, whats in METRICS.items()
    }
    cells = [MISSING, SOME, *reversed(list(map(str, MicroSpace(FEWER))))]  # not by our index
    for cell in cells:
        data["micro"][cell] = {
            task: {
                "total_epochs": EPOCHS,
                "model_info": {name: drawn.random() for name in COSTS},
                "metrics": {
                    **{name: [drawn.uniform(1, 99) for _ in range(EPOCHS)] for name in names[task]},
                    "time_elapsed": ["00:01:02"] * EPOCHS,
                },
            }
            for task in TASKS
            if (cell, task) != (MISSING, TASKS[-1])
        }
    described = {"metrics_dict": names, "info_names": list(COSTS), "task_list": list(TASKS)}
    return {**described, "data": data}


FILE = content()
COUNT = len(FILE["data"]["micro"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of benchmark files with the converted one."""
    folder = tmp_path_factory.mktemp("third_party")
    path = folder / "transnas-bench_v10141024.pth"
    torch.save(FILE, path, _use_new_zipfile_serialization=False)  # as torch did in 2020
    done = convert(path)
    assert (done.architectures, done.trials, done.curves) == (COUNT, 7 * COUNT - 1, None)
    return folder


@pytest.fixture
def third_party(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZC_SEARCH_THIRD_PARTY", str(folder))


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize("task", TASKS)
def test_every_figure_is_the_files(task: str) -> None:
    ours = open_benchmark("transnas_micro", task)
    assert len(ours) == COUNT
    assert ours.budgets == (EPOCHS,)
    micro = FILE["data"]["micro"]
    for index, text in list(enumerate(micro))[1::100]:
        assert str(ours.architecture(index)) == text
        answer = ours.query(text)
        for name, figures in micro[text][task]["metrics"].items():
            split, _, what = name.partition("_")
            if split != "time":
                metric = f"{'val' if split == 'valid' else split}_{OURS.get(what, what)}"
                assert answer[metric] == figures[-1]
                assert ours.query(text, after=2)[metric] == figures[1]
                assert ours.curve(text, metric).tolist() == figures
        info = micro[text][task]["model_info"]
        assert answer["latency_seconds"] == info["inference_time"]
        assert answer["model_flops"] == info["model_FLOPs"]
        assert len(answer) == 3 * len(METRICS[task]) + len(COSTS)


@pytest.mark.usefixtures("third_party")
def test_the_best_is_the_best_of_the_last_epoch() -> None:
    for task, metric, best in (
        ("autoencoder", "valid_ssim", max),
        ("normal", "valid_l1_loss", min),
        ("room_layout", "valid_neg_loss", max),
    ):
        trained = {c: t[task] for c, t in FILE["data"]["micro"].items() if task in t}
        expected = best(trained, key=lambda cell: trained[cell]["metrics"][metric][-1])
        ours = open_benchmark("transnas_micro", task)
        cell, _ = ours.best(metric.replace("valid", "val"))
        assert str(cell) == expected
        assert ours.rank(cell, metric.replace("valid", "val")) == 1


@pytest.mark.usefixtures("third_party")
def test_what_was_not_trained_is_said() -> None:
    ours = open_benchmark("transnas_micro", TASKS[-1])
    with pytest.raises(BenchmarkError, match="has no training"):
        ours.query(MISSING)
    assert np.isnan(ours.column("val_ssim")).sum() == 1
    with pytest.raises(BenchmarkError, match="has no curve"):
        ours.curve(SOME, "latency_seconds")
    with pytest.raises(BenchmarkError) as caught:
        open_benchmark("transnas_micro", "jigsav")
    assert (caught.value.given, caught.value.hint) == ("jigsav", "jigsaw")


@pytest.mark.usefixtures("third_party")
def test_commands() -> None:
    run = CliRunner()
    asked = run.invoke(app, ["query", SOME, "-d", "segmentsemantic", "--json"])
    figures = FILE["data"]["micro"][SOME]["segmentsemantic"]["metrics"]
    assert f'"val_miou": {figures["valid_mIoU"][-1]}' in asked.output
    shown = run.invoke(app, ["benchmark", "show", SOME]).output
    assert all(task in shown for task in TASKS)
    assert "transnas-micro" in run.invoke(app, ["benchmark", "list"]).output


SEARCH = {
    "study": {"name": "micro", "sampler": "random", "n_trials": 4},
    "space": {"name": "transnas_micro", "choices": {k: list(v) for k, v in FEWER.items()}},
    "data": {"source": "noise", "batch_size": 2},
    "objectives": {"params": "minimize", "val_ssim": "maximize"},
    "benchmark": {"name": "transnas_micro", "task": "autoencoder", "metric": "val_ssim"},
    "output": {"report": False},
}


@pytest.mark.usefixtures("third_party")
def test_a_search_asks_it(tmp_path: Path) -> None:
    chosen = parse_config({**SEARCH, "output": {"report": False, "folder": str(tmp_path)}})
    result = zc_search.run_search(chosen)
    for trial in result.trials.itertuples():
        figures = FILE["data"]["micro"][trial.architecture]["autoencoder"]["metrics"]
        assert trial.val_ssim == figures["valid_ssim"][-1]


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"name": "transnas_micro", "task": "jigsav"}, "benchmark.task"),
        ({"name": "nasbench101", "task": "jigsaw"}, "benchmark.task"),
    ],
)
def test_a_task_that_is_none_is_named(section: dict[str, str], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        parse_config({**SEARCH, "benchmark": section})


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "transnas-bench_v10141024.pth"
    torch.save({"data": {"micro": {SOME: {"jigsaw": {"metrics": 1}}}}}, path)
    with pytest.raises(BenchmarkError, match="is not as TransNAS-Bench-101 writes it"):
        convert(path)
    assert [*tmp_path.iterdir()] == [path]


def test_the_class_is_of_the_room() -> None:
    assert TransNASBench.name == MicroSpace.name
