"""Benchmark files that others wrote: read, and converted to tables of ours."""
