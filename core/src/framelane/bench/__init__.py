"""Benchmarks: ours beside the raw system calls, alternating in one run."""

from framelane.bench.model import Benchmark, Measurement, Result
from framelane.bench.suites import run_suite

__all__ = ["Benchmark", "Measurement", "Result", "run_suite"]
