"""Do the networks that a run ranks first learn better than random ones of the same cost?

    zc-search --config configs/mobilenet.toml --set study.n_trials=2000
    python tests/measurements/same_cost.py runs/mobilenet --top 6 --set training.epochs=15

Each of the first `--top` architectures of the ranking stands beside one random architecture of the
space within 5 % of its multiply-adds; both are trained on the run's images with the same seed.
Prints each accuracy, and the mean difference of the pairs with its standard error. No accuracy was
seen by the search. `--set data.validation=0.8` trains on fewer images and judges by more.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zc_search.config import load_config
from zc_search.images.datasets import Task
from zc_search.report import load_result
from zc_search.scoring.scorer import batch_and_task, open_images
from zc_search.spaces import AnyArchitecture, AnySpace, make_space
from zc_search.study.training import Trainer

WITHIN = 0.05


def pairs(
    run: Path, space: AnySpace, task: Task, top: int, seed: int
) -> Iterator[tuple[str, str, float]]:
    """Yield the first of a run's ranking, a random architecture of its cost, and that cost."""
    rng = np.random.default_rng(seed)

    def millions(architecture: AnyArchitecture) -> float:
        return float(space.costs(architecture, task)["flops"])

    for text in load_result(run).ranking["architecture"].head(top):
        flops = millions(space.read(text))
        other = space.sample(rng)
        while abs(millions(other) / flops - 1) > WITHIN:
            other = space.sample(rng)
        yield text, str(other), flops


def main() -> None:
    """Train every pair, and print what is gained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--top", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args()
    config = load_config(asked.run / "config.toml", tuple(asked.set))
    images = open_images(config.data)
    batch, task, _ = batch_and_task(config, images)
    space = make_space(config.space, task)
    trainer = Trainer(config, images, batch.fingerprint)
    gains = []
    for first, other, flops in pairs(asked.run, space, task, asked.top, asked.seed):
        chosen, random = (trainer.train(t, asked.seed)["accuracy"] for t in (first, other))
        gains.append(chosen - random)
        print(f"{flops:5.1f} M  chosen {chosen:.2f} %, random {random:.2f} %: {first}, {other}")
    error = np.std(gains, ddof=1) / np.sqrt(len(gains))
    print(f"{np.mean(gains):+.2f} points, standard error {error:.2f}, {len(gains)} pairs")


if __name__ == "__main__":
    main()
