"""Benchmarks of the harness itself: what it adds, and how near it comes to the raw engine."""
