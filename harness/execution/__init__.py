"""All benchmarks of a cluster in one command: what they measured, what follows from it, one record and one document."""
