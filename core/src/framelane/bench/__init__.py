"""Benchmarks: ours beside the raw system calls, alternating in one run. ``suites.run_suite`` is the way in."""

from framelane.bench.model import Benchmark, Measurement, Result

__all__ = ["Benchmark", "Measurement", "Result"]
