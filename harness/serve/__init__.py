"""The worker pool behind an OpenAI-compatible endpoint: ``mlperf-llama serve``."""
