"""Tabular benchmarks: look up what training an architecture gave. No torch."""

from zc_search.benchmarks.accuracy_table import AccuracyTable
from zc_search.benchmarks.base import Benchmark, Lookup, Result
from zc_search.benchmarks.catalogue import SOURCES, open_benchmark
from zc_search.benchmarks.converted import SizeBenchmark, TrialBenchmark
from zc_search.benchmarks.nasbench101 import NASBench101
from zc_search.benchmarks.packaged import AnalogNASBench, PackagedNASBench201

__all__ = [
    "SOURCES",
    "AccuracyTable",
    "AnalogNASBench",
    "Benchmark",
    "Lookup",
    "NASBench101",
    "PackagedNASBench201",
    "Result",
    "SizeBenchmark",
    "TrialBenchmark",
    "open_benchmark",
]
