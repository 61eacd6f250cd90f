"""What the accurate batch normalisation costs: its time over torch's own, interleaved.

Not part of the test suite: `OMP_NUM_THREADS=1 python tests/measurements/norm_cost.py [REPEATS]` in
the root of the repository prints by cell and proxy the smallest of several times of the processor,
each way in turn, with one thread.
"""

import sys
import time
from contextlib import nullcontext
from statistics import median

import torch
from torch import nn

from zc_search.images import Batch, load_batch
from zc_search.proxies.probe import passes
from zc_search.scoring.scorer import score_network
from zc_search.spaces import Architecture
from zc_search.spaces.network import build_network

CELLS = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_1x1~2|",
    "|skip_connect~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|",
)
PROXIES = ("grad_norm", "jacov", "naswot", "zico")
ACCURATE = passes.accurate_norms


def seconds(network: nn.Module, name: str, batch: Batch, *, accurate: bool) -> float:
    passes.accurate_norms = ACCURATE if accurate else lambda network: nullcontext()
    start = time.process_time()
    score_network(network, [name], batch.images, batch.labels)
    return time.process_time() - start


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    torch.set_num_threads(1)
    batch = load_batch(dataset="cifar10", batch_size=32)
    ratios = []
    for text in CELLS:
        network = build_network(Architecture.from_string(text))
        for name in PROXIES:
            times = {True: [], False: []}
            for repeat in range(repeats + 1):
                for accurate in (True, False) if repeat % 2 else (False, True):
                    times[accurate].append(seconds(network, name, batch, accurate=accurate))
            accurate, usual = (min(times[way][2:]) for way in (True, False))
            ratios.append(accurate / usual)
            print(f"{text} {name:10} {accurate:.3f} s, torch's {usual:.3f} s: {ratios[-1]:.3f}")
    print(f"median {median(ratios):.3f}, largest {max(ratios):.3f}")


if __name__ == "__main__":
    main()
