"""Costs of a generator: multiply-accumulates, memory, latency."""
